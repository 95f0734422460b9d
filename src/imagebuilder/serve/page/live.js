// What the server knows, kept up to date: a status, then events that follow it. Views hear of changes once a frame.

/** The server does not know us. */
export class Refused extends Error {}

/** The server said no, and why. */
export class Answered extends Error {}

/** JSON of the server. Throws Refused, Answered, or another error when nobody answers. */
export async function ask(path, options) {
  const answer = await fetch(path, { credentials: "same-origin", ...options });
  if (answer.status === 401) throw new Refused();
  if (!answer.ok) throw new Answered(reason((await answer.text()).trim()) || answer.statusText);
  return answer.status === 204 ? null : answer.json();
}

const REST = 10000;

/** Why something was refused: {"error": ..., "hint": ...} or plain words. */
function reason(text) {
  try {
    const { error, hint } = JSON.parse(text);
    return [error, hint].filter(Boolean).join("; ");
  } catch {
    return text;
  }
}

export class Live {
  constructor() {
    this.nodes = new Map();
    this.tasks = new Map();
    this.openTasks = { queued: 0, given: 0 };
    this.explanations = {};
    this.problem = "";
    this.trouble = "";
    this.connection = "connecting";
    this.onrefused = () => {};
    this.ahead = 0;
    this.listeners = new Set();
    this.changes = fresh();
    this.waiting = false;
    this.missed = null;
    this.place = "";
    // A browser has six connections to a server, for all of its tabs: what nobody sees must not keep one.
    addEventListener("pagehide", () => this.source?.close());
    addEventListener("pageshow", (event) => event.persisted && this.follow());
    document.addEventListener("visibilitychange", () => this.rest());
  }

  /** Seconds since 1970 by the server's clock. */
  now() {
    return Date.now() / 1000 + this.ahead;
  }

  /** `listener` gets {all, nodes: Set of ids, tasks, images, state} at most once a frame; returns what ends it. */
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async start() {
    if (await this.load()) this.follow();
  }

  /** Hear what happens from the last known event on. */
  follow() {
    if (!this.place) return;
    this.source?.close();
    this.source = new EventSource(`/api/1/events?after=${encodeURIComponent(this.place)}`);
    this.source.onopen = () => this.say("live");
    this.source.onerror = () => this.lost();
    for (const name of ["nodes", "progress", "tasks", "problem", "images"]) {
      this.source.addEventListener(name, (event) => this.take(name, event));
    }
    this.source.addEventListener("reset", () => this.load());
  }

  /** Stop listening some seconds after the tab was hidden, and catch up when it is seen again. */
  rest() {
    clearTimeout(this.resting);
    if (document.hidden) this.resting = setTimeout(() => this.source?.close(), REST);
    else if (this.source?.readyState === EventSource.CLOSED) this.follow();
  }

  /** All of it anew; what comes meanwhile is kept and told afterwards. Returns whether it came. */
  async load() {
    this.missed = [];
    try {
      const status = await ask("/api/1/status");
      this.ahead = status.now - Date.now() / 1000;
      this.nodes = new Map(status.nodes.map((node) => [node.id, node]));
      this.tasks = new Map(status.tasks.map((task) => [task.id, task]));
      this.openTasks = status.open_tasks;
      this.explanations = status.explanations;
      this.problem = status.problem;
      this.trouble = "";
      this.place = status.event;
      const missed = this.missed;
      this.missed = null;
      for (const [name, event] of missed) if (follows(event.lastEventId, status.event)) this.take(name, event);
      this.change((changes) => (changes.all = changes.tasks = changes.images = changes.state = true));
      return true;
    } catch (error) {
      if (error instanceof Refused) {
        this.source?.close();
        this.onrefused();
      } else {
        this.trouble = error instanceof Answered ? error.message : "";
        this.say(this.trouble ? "refused" : "the server does not answer");
        setTimeout(() => this.again(), 3000);
      }
      return false;
    }
  }

  again() {
    this.source?.close();
    this.start();
  }

  /** The browser connects again by itself, except when the server has said no. */
  lost() {
    this.say("reconnecting");
    if (this.source.readyState === EventSource.CLOSED) setTimeout(() => this.again(), 3000);
  }

  take(name, event) {
    if (this.missed) {
      this.missed.push([name, event]);
      return;
    }
    this.place = event.lastEventId;
    const value = JSON.parse(event.data);
    this.change((changes) => this[`take_${name}`](value, changes));
  }

  take_nodes(value, changes) {
    this.ahead = Math.max(this.ahead, value.now - Date.now() / 1000);
    for (const node of value.nodes) {
      const before = this.nodes.get(node.id);
      if (before?.rate) Object.assign(node, { rate: before.rate, rated: before.rated });
      this.nodes.set(node.id, node);
      changes.nodes.add(node.id);
    }
  }

  take_progress(value, changes) {
    for (const [id, bytes, rate] of value) {
      const node = this.nodes.get(id);
      if (!node) continue;
      Object.assign(node, { bytes, rate, rated: this.now() });
      changes.nodes.add(id);
    }
  }

  take_tasks(value, changes) {
    for (const task of value.tasks.reverse()) this.tasks.set(task.id, task);
    this.openTasks = value.open_tasks;
    changes.tasks = true;
  }

  take_problem(value, changes) {
    this.problem = value;
    changes.state = true;
  }

  take_images(_, changes) {
    changes.images = true;
  }

  say(connection) {
    this.connection = connection;
    this.change((changes) => (changes.state = true));
  }

  change(note) {
    note(this.changes);
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      const changes = this.changes;
      this.changes = fresh();
      this.waiting = false;
      for (const listener of this.listeners) listener(changes);
    });
  }
}

const fresh = () => ({ all: false, nodes: new Set(), tasks: false, images: false, state: false });

/** Whether an event came after another one of the same run of the server. */
function follows(id, other) {
  const [epoch, number] = id.split("-");
  const [otherEpoch, otherNumber] = other.split("-");
  return epoch === otherEpoch && Number(number) > Number(otherNumber);
}
