
"use strict";
(() => {
// The pictures are text already drawn: nothing here interprets what was recorded, or makes markup of it.
const byId = (id) => document.getElementById(id);
const make = (name, parent, set) => Object.assign(parent.appendChild(document.createElement(name)), set);
const data = byId("pictures");
const { pictures, end } = JSON.parse(data.textContent);
data.remove();

const [player, display, slider, cover] = ["player", "screen", "slider", "cover"].map(byId);
const [play, clock, note, speed, idle] = ["play", "clock", "note", "speed", "idle"].map(byId);
const transcript = byId("transcript");
const IDLE = 2e6, JUMP = 5e6, KEEP = 400;
const INK = "#e5e5e5", PAPER = "#111418";
const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f000}-\u{1faff}\u{20000}-\u{3fffd}]/u;

let next = 0, now = 0, playing = false, last = 0;
let state = { size: [0, 0], cells: [], cursor: null };
let drawn = { cells: [], cursor: null };
const kept = [];
const marks = pictures.filter((picture) => picture.note && picture.note.kind !== "exit");

function time(micros) {
  const s = Math.floor(micros / 1e6), two = (n) => String(n).padStart(2, "0");
  return Math.floor(s / 3600) + ":" + two(Math.floor(s / 60) % 60) + ":" + two(s % 60);
}

// Drawing.

function piece(row, text, [ink, paper, letters], here) {
  if (!text) return;
  const names = [...letters].filter((letter) => letter !== "v");
  if (here) names.push("cursor");
  const run = make("span", row, { className: names.join(" ") });
  if (WIDE.test(text)) {
    for (const c of text) {
      if (WIDE.test(c)) make("span", run, { className: "wide", textContent: c });
      else run.append(c);
    }
  } else run.textContent = text;
  if (letters.includes("v")) [ink, paper] = [paper || PAPER, ink || INK];
  if (ink) run.style.color = ink;
  if (paper) run.style.backgroundColor = paper;
}

function drawRow(index, cursor) {
  const row = display.children[index];
  row.replaceChildren();
  let left = cursor;
  for (const [text, ...look] of state.cells[index] || []) {
    const letters = left === null ? [] : [...text];
    if (left === null || left >= letters.length) {
      piece(row, text, look, false);
      if (left !== null) left -= letters.length;
      continue;
    }
    piece(row, letters.slice(0, left).join(""), look, false);
    piece(row, letters[left], look, true);
    piece(row, letters.slice(left + 1).join(""), look, false);
    left = null;
  }
  if (left === null) return;
  const plain = [null, null, ""];
  piece(row, " ".repeat(left), plain, false);
  piece(row, " ", plain, true);
}

function draw() {
  const [cols, rows] = state.size;
  const resized = display.children.length !== rows || drawn.cols !== cols;
  while (display.children.length > rows) display.lastChild.remove();
  while (display.children.length < rows) make("div", display, {});
  const at = (cursor, row) => (cursor && cursor[1] === row ? cursor[0] : null);
  for (let row = 0; row < rows; row++) {
    const column = at(state.cursor, row);
    if (drawn.cells[row] !== state.cells[row] || at(drawn.cursor, row) !== column) drawRow(row, column);
  }
  drawn = { cells: state.cells.slice(0, rows), cursor: state.cursor, cols };
  if (resized) fit();
}

// The letters are as large as the width allows, and the height in full screen.
function fit() {
  const [cols, rows] = state.size;
  const probe = make("span", display, { textContent: "0".repeat(100) });
  const size = parseFloat(getComputedStyle(display).fontSize);
  const ratio = probe.getBoundingClientRect().width / 100 / size;
  probe.remove();
  const stage = byId("stage"), full = document.fullscreenElement;
  let best = (stage.clientWidth - 28) / cols / (ratio || 0.6);
  if (full) best = Math.min(best, (stage.clientHeight - 28) / rows / 1.25);
  display.style.fontSize = Math.max(6, Math.min(best, full ? 48 : 17)).toFixed(2) + "px";
}

// Time.

function goTo(micros) {
  micros = Math.max(0, Math.min(micros, end));
  if (micros < now || next === 0) {
    let back = kept.length - 1;
    while (back >= 0 && kept[back].at > micros) back--;
    const from = kept[back] || { next: 0, state: { size: [0, 0], cells: [], cursor: null } };
    next = from.next;
    state = { ...from.state, cells: from.state.cells.slice() };
  }
  now = micros;
  let told = next > 0 ? pictures[next - 1].note : null;
  while (next < pictures.length && pictures[next].at <= now) {
    const picture = pictures[next++];
    state.size = picture.size;
    state.cells.length = picture.size[1];
    for (const [row, runs] of picture.rows) state.cells[row] = runs;
    state.cursor = picture.cursor;
    told = picture.note;
    const before = kept.length ? kept[kept.length - 1].next : 0;
    if (next >= before + KEEP) kept.push({ next, at: picture.at, state: { ...state, cells: state.cells.slice() } });
  }
  draw();
  note.textContent = told ? told.text : "";
  slider.value = now;
  slider.setAttribute("aria-valuetext", time(now));
  clock.textContent = time(now) + " / " + time(end);
  follow();
}

function tick(stamp) {
  if (!playing) return;
  let to = now + Math.max(0, stamp - last) * 1000 * Number(speed.value);
  last = stamp;
  const coming = next < pictures.length ? pictures[next].at : end;
  if (idle.checked && coming - now > IDLE) to = Math.max(to, coming - IDLE / 4);
  goTo(to);
  if (now >= end) return run(false);
  requestAnimationFrame(tick);
}

function run(on) {
  playing = on;
  play.classList.toggle("on", on);
  play.setAttribute("aria-label", on ? "Pause" : "Play");
  if (!on) return;
  cover.hidden = true;
  if (now >= end) goTo(0);
  last = performance.now();
  requestAnimationFrame(tick);
}

function seek(micros) {
  cover.hidden = true;
  goTo(micros);
}

function step(by) {
  run(false);
  const to = pictures[Math.min(Math.max(next - 1 + by, 0), pictures.length - 1)];
  if (to) seek(to.at);
}

function toMark(by) {
  const found = by > 0 ? marks.find((mark) => mark.at > now) : marks.findLast((mark) => mark.at < now - (playing ? 1e6 : 0));
  if (found) seek(found.at);
}

function faster(by) {
  const to = speed.selectedIndex + by;
  if (to >= 0 && to < speed.options.length) speed.selectedIndex = to;
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else player.requestFullscreen().catch(() => {});
}

// The transcript.

const lines = [...transcript.querySelectorAll("p[data-at]")];
const times = lines.map((line) => Number(line.dataset.at));
const order = times.map((_, index) => index).sort((a, b) => times[a] - times[b] || a - b);
let shown = null, hits = [], hit = -1;

function show(line) {
  const top = line.offsetTop - transcript.offsetTop;
  const inside = top >= transcript.scrollTop && top + line.offsetHeight <= transcript.scrollTop + transcript.clientHeight;
  if (!inside) transcript.scrollTop = top - transcript.clientHeight / 2;
}

// The line that appeared last is where we are.
function follow() {
  let low = 0, high = order.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[order[middle]] <= now) low = middle + 1; else high = middle;
  }
  const line = low ? lines[order[low - 1]] : null;
  if (line === shown) return;
  if (shown) shown.classList.remove("now");
  shown = line;
  if (!line) return;
  line.classList.add("now");
  if (byId("follow").checked && cover.hidden) show(line);
}

function unmark() {
  for (const line of hits) {
    line.classList.remove("hit", "here");
    for (const mark of line.querySelectorAll("mark")) mark.replaceWith(mark.textContent);
    line.normalize();
  }
  hits = [];
  hit = -1;
}

function mark(line, wanted) {
  const node = line.lastChild, text = node.data, small = text.toLowerCase();
  line.classList.add("hit");
  // Where letters change their length with their case, the line is found and not marked.
  if (small.length !== text.length) return;
  const parts = [];
  let from = 0;
  for (let at = small.indexOf(wanted); at >= 0; at = small.indexOf(wanted, from)) {
    parts.push(text.slice(from, at));
    const found = document.createElement("mark");
    found.textContent = text.slice(at, at + wanted.length);
    parts.push(found);
    from = at + wanted.length;
  }
  node.replaceWith(...parts, text.slice(from));
}

function search() {
  unmark();
  const wanted = byId("wanted").value.toLowerCase();
  if (wanted) {
    hits = lines.filter((line) => line.lastChild.nodeType === 3 && line.lastChild.data.toLowerCase().includes(wanted));
    for (const line of hits) mark(line, wanted);
  }
  transcript.classList.toggle("only", byId("only").checked && wanted !== "");
  byId("count").textContent = wanted ? hits.length + (hits.length === 1 ? " line" : " lines") : "";
  if (hits.length) toHit(1);
}

function toHit(by) {
  if (!hits.length) return;
  if (hit >= 0) hits[hit].classList.remove("here");
  hit = (hit + by + hits.length) % hits.length;
  if (hit < 0) hit = hits.length - 1;
  hits[hit].classList.add("here");
  show(hits[hit]);
  byId("count").textContent = hit + 1 + " of " + hits.length;
}

function goToLine(line) {
  seek(Number(line.dataset.at));
}

// What is pressed.

slider.max = end;
for (const { at, note: { kind, text } } of marks) {
  const tick = make("i", byId("marks"), { className: kind });
  tick.style.left = (end ? (at / end) * 100 : 0) + "%";
  const button = make("button", make("li", byId("markerlist"), {}), { type: "button", className: kind });
  make("time", button, { textContent: time(at) });
  button.append(text);
  button.addEventListener("click", () => seek(at));
}
byId("markers").hidden = marks.length === 0;
play.addEventListener("click", () => run(!playing));
cover.addEventListener("click", () => run(true));
display.addEventListener("click", () => { if (!String(getSelection())) run(!playing); });
byId("back").addEventListener("click", () => step(-1));
byId("forth").addEventListener("click", () => step(1));
byId("full").addEventListener("click", fullScreen);
slider.addEventListener("input", () => seek(Number(slider.value)));
byId("wanted").addEventListener("input", search);
byId("wanted").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && hit >= 0) {
    if (event.ctrlKey) goToLine(hits[hit]); else toHit(event.shiftKey ? -1 : 1);
  }
  if (event.key === "Escape") { byId("wanted").value = ""; search(); display.focus(); }
});
byId("only").addEventListener("change", search);
byId("before").addEventListener("click", () => toHit(-1));
byId("after").addEventListener("click", () => toHit(1));
transcript.addEventListener("click", (event) => {
  const line = event.target.closest("p[data-at]");
  if (line && !String(getSelection())) goToLine(line);
});
transcript.addEventListener("keydown", (event) => {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  event.stopPropagation();
  const line = lines[lines.indexOf(shown) + by];
  if (line) goToLine(line);
});
const pressed = {
  " ": () => run(!playing), ",": () => step(-1), ".": () => step(1),
  ArrowLeft: () => seek(now - JUMP), ArrowRight: () => seek(now + JUMP),
  "[": () => toMark(-1), "]": () => toMark(1), "<": () => faster(-1), ">": () => faster(1),
  f: fullScreen, n: () => toHit(1), N: () => toHit(-1),
  "/": () => { byId("wanted").focus(); byId("wanted").select(); },
};
document.addEventListener("keydown", (event) => {
  const { tagName, type } = event.target;
  const writes = tagName === "SELECT" || (tagName === "INPUT" && type === "search");
  const own = event.key === " " && ["BUTTON", "INPUT", "SUMMARY"].includes(tagName);
  if (event.ctrlKey || event.metaKey || event.altKey || writes || own) return;
  const digit = /^[0-9]$/.test(event.key) ? () => seek((end * Number(event.key)) / 10) : null;
  const act = pressed[event.key] || digit;
  if (!act) return;
  event.preventDefault();
  act();
});
addEventListener("resize", fit);
document.addEventListener("fullscreenchange", fit);
transcript.classList.add("live");
transcript.tabIndex = 0;
byId("search").hidden = false;
player.hidden = false;
goTo(0);
})();
