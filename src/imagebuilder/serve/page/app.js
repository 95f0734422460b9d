// The frame: which view is shown, by the address behind #; keys that work everywhere; who may look.

import { say } from "/page/dom.js";
import { Hardware } from "/page/hardware.js";
import { Images } from "/page/images.js";
import { Live } from "/page/live.js";
import { login } from "/page/login.js";
import { Nodes } from "/page/nodes.js";
import { Tasks } from "/page/tasks.js";

const VIEWS = { nodes: Nodes, images: Images, tasks: Tasks, hardware: Hardware };
const main = document.getElementById("main");
const live = new Live();
let name = "";
let view = null;
let refused = false;

/** Show what the address says: #/VIEW/WHAT. A view that is there already is only told WHAT. */
function show() {
  const [wanted, ...what] = location.hash.replace(/^#\/?/, "").split("/");
  const next = Object.hasOwn(VIEWS, wanted) ? wanted : "nodes";
  if (next !== name || !view) {
    view?.close();
    name = next;
    view = new VIEWS[name](live);
    main.replaceChildren(view.element);
    for (const link of document.querySelectorAll("nav a")) {
      if (link.hash === `#/${name}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }
  view.show(what.map(decodeURIComponent).join("/"));
}

function state(changes) {
  if (!changes.state) return;
  const connection = document.getElementById("connection");
  say(connection, live.connection);
  connection.classList.toggle("live", live.connection === "live");
  const problem = document.getElementById("problem");
  const wrong = live.problem && `nodes.yml has an error, and what it said before stays in force. ${live.problem}`;
  problem.hidden = !(live.trouble || wrong);
  say(problem, live.trouble || wrong);
}

function key(event) {
  const typing = event.target.closest("input, textarea, select");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && typing) return typing.blur();
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) return view?.escape?.();
  if (typing) return;
  if (event.key === "/") {
    event.preventDefault();
    main.querySelector("input[type=search]")?.focus();
  } else if (event.key === "?") {
    document.getElementById("keys").showModal();
  } else if ("1234".includes(event.key)) {
    location.hash = `#/${Object.keys(VIEWS)[Number(event.key) - 1]}`;
  }
}

live.listen(state);
live.onrefused = () => {
  view?.close();
  view = null;
  refused = true;
  say(document.getElementById("connection"), "");
  main.replaceChildren(
    login(async () => {
      refused = false;
      await live.start();
      if (!refused) show();
    }),
  );
  document.getElementById("token").focus();
};
addEventListener("hashchange", () => refused || show());
document.addEventListener("keydown", key);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
await live.start();
if (!refused) show();
