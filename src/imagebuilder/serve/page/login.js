// Who may look: the operator, by the token that the server made when it first started.

import { h } from "/page/dom.js";
import { ask, Refused } from "/page/live.js";

export function login(then) {
  const token = h("input", { type: "password", name: "token", autocomplete: "current-password", required: true, id: "token" });
  const error = h("p", { class: "error", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    try {
      const body = JSON.stringify({ token: token.value.trim() });
      await ask("/api/1/login", { method: "POST", body, headers: { "Content-Type": "application/json" } });
      then();
    } catch (problem) {
      error.textContent = problem instanceof Refused ? "This is not the operator's token." : problem.message;
      token.select();
    }
  };
  return h(
    "form",
    { class: "login card", onsubmit: submit },
    h("h1", null, "Who is there?"),
    h("p", { class: "faint" }, "The server printed a token when it first started, and keeps it in a file beside its state, ", h("code", null, "operator-token"), "."),
    h("label", { for: "token" }, "The operator's token"),
    token,
    error,
    h("button", { class: "primary" }, "Look"),
  );
}
