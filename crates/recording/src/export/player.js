
"use strict";
(() => {
// The pictures are text already drawn: nothing here interprets what was recorded.
const pictures = JSON.parse(document.getElementById("pictures").textContent);
const make = (name, parent, set) => Object.assign(parent.appendChild(document.createElement(name)), set);
const player = document.getElementById("player");
const display = make("pre", player, { className: "screen" });
const note = make("div", player, { className: "note" });
const controls = make("div", player, { className: "controls" });
const button = make("button", controls, { type: "button", textContent: "Play" });
const back = make("button", controls, { type: "button", textContent: "\u2190" });
const forth = make("button", controls, { type: "button", textContent: "\u2192" });
const end = pictures.length ? pictures[pictures.length - 1].at : 0;
const slider = make("input", controls, { type: "range", min: 0, max: end, step: 1, value: 0 });
const clock = make("output", controls, {});
const faster = make("select", controls, { title: "speed" });
for (const x of [0.5, 1, 2, 4, 8, 16]) make("option", faster, { value: x, textContent: x + "\u00d7", selected: x === 1 });
const label = make("label", controls, {});
const idle = make("input", label, { type: "checkbox", checked: true });
label.append(" skip idle time");

const IDLE = 2e6;
let next = 0, now = 0, playing = false, last = 0, cursorRow = -1, cells = [];

function time(micros) {
  const s = Math.floor(micros / 1e6), two = (n) => String(n).padStart(2, "0");
  return Math.floor(s / 3600) + ":" + two(Math.floor(s / 60) % 60) + ":" + two(s % 60);
}

function draw(index, cursor) {
  const row = display.children[index];
  if (!row) return;
  row.replaceChildren();
  const piece = (text, foreground, background, letters, here) => {
    if (!text) return;
    const names = [...letters].filter((letter) => letter !== "v");
    if (here) names.push("cursor");
    const run = make("span", row, { textContent: text, className: names.join(" ") });
    const turned = letters.includes("v");
    const [ink, paper] = turned ? [background || "#111", foreground || "#e5e5e5"] : [foreground, background];
    if (ink) run.style.color = ink;
    if (paper) run.style.backgroundColor = paper;
  };
  let left = cursor === null ? Infinity : cursor;
  for (const [text, ...look] of cells[index] || []) {
    const letters = [...text];
    piece(letters.slice(0, left).join(""), ...look, false);
    if (left < letters.length) {
      piece(letters[left], ...look, true);
      piece(letters.slice(left + 1).join(""), ...look, false);
      left = Infinity;
    }
    left -= letters.length;
  }
  if (left === Infinity) return;
  piece(" ".repeat(left), null, null, "", false);
  piece(" ", null, null, "", true);
}

function apply(picture) {
  const [, rows] = picture.size;
  while (display.children.length > rows) display.lastChild.remove();
  while (display.children.length < rows) make("div", display, {});
  cells.length = rows;
  const dirty = new Set();
  for (const [index, runs] of picture.rows) { cells[index] = runs; dirty.add(index); }
  if (cursorRow >= 0) dirty.add(cursorRow);
  cursorRow = picture.cursor ? picture.cursor[1] : -1;
  if (cursorRow >= 0) dirty.add(cursorRow);
  for (const index of dirty) draw(index, index === cursorRow ? picture.cursor[0] : null);
  note.textContent = picture.note || "";
}

function goTo(micros) {
  if (micros < now) { next = 0; cells = []; cursorRow = -1; display.replaceChildren(); }
  now = micros;
  while (next < pictures.length && pictures[next].at <= now) apply(pictures[next++]);
  slider.value = now;
  clock.textContent = time(now) + " / " + time(end);
}

function tick(stamp) {
  if (!playing) return;
  let to = now + (stamp - last) * 1000 * Number(faster.value);
  last = stamp;
  const wait = next < pictures.length ? pictures[next].at - now : 0;
  if (idle.checked && wait > IDLE) to = Math.max(to, pictures[next].at - IDLE / 4);
  goTo(Math.min(to, end));
  if (now >= end) return play(false);
  requestAnimationFrame(tick);
}

function play(on) {
  playing = on;
  button.textContent = on ? "Pause" : "Play";
  if (!on) return;
  if (now >= end) goTo(0);
  last = performance.now();
  requestAnimationFrame(tick);
}

function step(by) {
  play(false);
  const to = pictures[Math.min(Math.max(next - 1 + by, 0), pictures.length - 1)];
  if (to) goTo(to.at);
}

button.addEventListener("click", () => play(!playing));
back.addEventListener("click", () => step(-1));
forth.addEventListener("click", () => step(1));
slider.addEventListener("input", () => goTo(Number(slider.value)));
document.getElementById("transcript").addEventListener("click", (event) => {
  if (event.target.dataset.at) { play(false); goTo(Number(event.target.dataset.at)); }
});
document.addEventListener("keydown", (event) => {
  if (event.target.tagName === "INPUT" || event.target.tagName === "SELECT") return;
  if (event.key === " " && event.target !== button) { event.preventDefault(); play(!playing); }
  if (event.key === ".") step(1);
  if (event.key === ",") step(-1);
});
goTo(0);
})();
