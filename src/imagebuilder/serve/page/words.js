// Numbers and states in words. Sizes are decimal, as everywhere else in this program.

export const STATES = {
  failed: "failed",
  booting: "booting",
  script: "got its script",
  discovered: "discovered",
  started: "started",
  ready: "ready",
};

const ORDER = ["script", "kernel", "modules", "network", "manifest", "memory", "fetch", "digest", "mount", "switch", "agent"];

export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 99.5 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function seconds(milliseconds) {
  const value = milliseconds / 1000;
  if (value < 100) return `${value.toFixed(1)} s`;
  return `${Math.floor(value / 60)} min ${String(Math.round(value % 60)).padStart(2, "0")} s`;
}

/** How long ago something was, in one word and a unit. */
export function ago(then, now) {
  const past = Math.max(0, Math.round(now - then));
  if (past < 5) return "now";
  if (past < 60) return `${past} s`;
  if (past < 3600) return `${Math.floor(past / 60)} min`;
  if (past < 48 * 3600) return `${Math.floor(past / 3600)} h`;
  return `${Math.floor(past / 86400)} d`;
}

export function time(since1970) {
  const date = new Date(since1970 * 1000);
  const today = date.toDateString() === new Date().toDateString();
  const clock = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return today ? clock : `${date.toLocaleDateString([], { month: "short", day: "numeric" })} ${clock}`;
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** The words that somebody searches for. */
export const wanted = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

/** Whether all words are in a text. */
export function has(text, words) {
  const lowered = text.toLowerCase();
  return words.every((word) => lowered.includes(word));
}

export const short = (digest) => digest.replace("sha256:", "").slice(0, 12);

export const title = (node) => node.name || node.node;

export const moves = (node) => node.state === "booting" || node.state === "script" || node.state === "discovered";

/** How much of a boot is done, from 0 to 1: nine tenths of it is fetching, as far as anybody knows how much that is. */
export function done(node) {
  if (node.state === "ready" || node.state === "started") return 1;
  if (!node.boot) return 0;
  const place = ORDER.indexOf(node.phase);
  const behind = place >= ORDER.indexOf("mount") ? 0.9 + 0.03 * (place - ORDER.indexOf("mount") + 1) : 0;
  const fetched = node.total ? 0.9 * (node.bytes / node.total) : Math.max(0, place) * 0.08;
  return Math.min(1, Math.max(behind, fetched));
}

/** What a node does, in a few words: phase, bytes and speed while it boots, why it could not when it could not. */
export function doing(node, explanations, now) {
  if (node.state === "failed") return `${node.code}: ${explanations[node.code]?.happened.replaceAll("`", "") ?? "see its log"}`;
  if (node.state === "ready") return node.ms ? `booted in ${seconds(node.ms)}` : "";
  if (!node.boot) return "nothing to boot";
  if (node.state === "started") return `booted in ${seconds(node.ms)}; its agent has not asked yet`;
  const parts = [node.phase === "script" ? "got its script" : node.phase];
  if (node.total && node.bytes < node.total) parts.push(`${size(node.bytes)} of ${size(node.total)}`);
  else if (node.total) parts.push(size(node.total));
  if (node.rate && now - node.rated < 3) parts.push(`${(node.rate / 1e6).toFixed(1)} MB/s`);
  if (now - node.changed > 120 && !(node.rate && now - node.rated < 120)) parts.push(`silent for ${ago(node.changed, now)}`);
  return parts.join(" · ");
}
