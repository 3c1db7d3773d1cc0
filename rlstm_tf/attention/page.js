"use strict";
// Frames, cells and gates are counted from 0 here, from 1 where they are shown.
const data = JSON.parse(document.getElementById("data").textContent);
const view = document.getElementById("view");
const frames = [...document.querySelectorAll(".frame")];
const radios = [...document.querySelectorAll("input[name=gate]")];
const N = data.rows * data.columns;
const MEAN = data.gates;
const weights = { spatial: unpacked(data.spatial), temporal: unpacked(data.temporal) };
const cells = frames.map(addCells);
const at = { frame: data.frame, cell: data.cell, gate: MEAN };

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
}

function unpacked(kind) {
  const { levels, scales } = kind;
  return { levels: new Int16Array(bytes(levels)), scales: new Float32Array(bytes(scales)) };
}

// w_ij of one position i of one frame: all j.
function look(kind) {
  const { levels, scales } = weights[kind];
  const gates = at.gate === MEAN ? [...Array(data.gates).keys()] : [at.gate];
  const w = new Float64Array(N);
  for (const gate of gates) {
    const row = (at.frame * data.gates + gate) * N + at.cell;
    for (let j = 0; j < N; j++) w[j] += levels[row * N + j] * scales[row] / gates.length;
  }
  return w;
}

function addCells(frame) {
  const grid = frame.querySelector(".cells");
  const found = [];
  for (let row = 0; row < data.rows; row++) {
    const line = element("div", { role: "row" });
    for (let column = 0; column < data.columns; column++) {
      const cell = element("div", {
        role: "gridcell", tabindex: "-1", "aria-label": place(found.length),
      });
      found.push(cell);
      line.append(cell);
    }
    grid.append(line);
  }
  return found;
}

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function place(cell) {
  return `row ${Math.floor(cell / data.columns) + 1}, column ${cell % data.columns + 1}`;
}

function number(w) {
  if (!data.shares) return w.toPrecision(3);
  return w && w < 0.0005 ? "under 0.1\u00a0%" : `${(100 * w).toFixed(1)}\u00a0%`;
}

function topOfScale(w) {
  const largest = Math.max(...w.map(Math.abs));
  return data.shares ? Math.max(largest, data.even / N) : largest || 1;
}

// The colour over the dark, as one colour: `heat.lit` in Python.
function colour(share, kind) {
  const strength = Math.min(Math.abs(share), 1);
  const tint = data.tint * strength;
  const opacity = tint + data.veil * (1 - strength) * (1 - tint);
  const rgb = data.colours[share < 0 ? "negative" : kind];
  return `rgb(${rgb.map((part) => Math.round(part * tint / opacity)).join(" ")} / ${opacity})`;
}

function light(frame, kind, w) {
  const top = topOfScale(w);
  cells[frame].forEach((cell, j) => {
    cell.style.backgroundColor = colour(w[j] / top, kind);
    cell.title = `${place(j)}: ${number(w[j])}`;
    cell.dataset.weight = w[j];
  });
}

function clear(frame) {
  for (const cell of cells[frame]) {
    cell.style.backgroundColor = "";
    cell.removeAttribute("title");
    delete cell.dataset.weight;
  }
}

function mostLookedAt(w) {
  const order = [...w.keys()].sort((a, b) => Math.abs(w[b]) - Math.abs(w[a]));
  const [first, second, third] = order;
  const [low, high] = [Math.min(...w), Math.max(...w)];
  if (high - low <= 0.25 * Math.abs(w[first])) {
    return `Looks at all ${N} cells much alike (${number(low)} to ${number(high)}).`;
  }
  // What is a hundredth of the most is no place that is looked at.
  const named = [first, second, third].filter((j) => Math.abs(w[j]) > 0.01 * Math.abs(w[first]));
  const [most, ...others] = named.map((j) => `${place(j)} (${number(w[j])})`);
  return `Looks most at ${most}${others.length ? `, then at ${others.join(" and ")}` : ""}.`;
}

// The perplexity of w: an even spread over so many cells would have the same entropy.
function spread(w) {
  const entropy = -w.reduce((sum, share) => sum + (share > 0 ? share * Math.log(share) : 0), 0);
  return `As wide as an even spread over ${Math.exp(entropy).toFixed(1)} of ${N} cells.`;
}

function tell(kind, w) {
  const card = document.getElementById(kind);
  card.querySelector(".looks").textContent = mostLookedAt(w);
  card.querySelector(".spread").textContent = data.shares ? spread(w) : "";
  const top = topOfScale(w);
  const low = card.querySelector(".low");
  low.textContent = w.some((share) => share < 0) ? number(-top) : "0";
  card.querySelector(".high").textContent = number(top);
  const bar = card.querySelector(".bar");
  const from = w.some((share) => share < 0) ? -1 : 0;
  const stops = [...Array(9).keys()].map((k) => colour(from + (1 - from) * k / 8, kind));
  bar.style.backgroundImage = `linear-gradient(to right, ${stops.join(", ")})`;
  const even = card.querySelector(".even");
  even.hidden = !data.shares;
  even.style.left = `${100 / N / top}%`;
}

function sub(letter, index) {
  return [element("var", {}, letter), element("sub", {}, String(index))];
}

function render() {
  const t = at.frame;
  const spatial = look("spatial");
  const temporal = t ? look("temporal") : null;
  frames.forEach((frame, k) => {
    frame.dataset.is = k === t ? "now" : k === t - 1 ? "before" : k < t ? "past" : "later";
    const says = frame.querySelector(".says");
    clear(k);
    cells[k].forEach((cell, j) => {
      const chosen = k === t && j === at.cell;
      cell.setAttribute("aria-selected", chosen);
      cell.tabIndex = chosen ? 0 : -1;
      cell.classList.toggle("same", k === t - 1 && j === at.cell);
    });
    if (k === t) says.replaceChildren("r(", ...sub("X", t + 1), ", ", ...sub("X", t + 1), ")");
    else if (k === t - 1) {
      says.replaceChildren("r(", ...sub("X", t + 1), ", ", ...sub("H", t), ")");
    } else says.replaceChildren();
  });
  light(t, "spatial", spatial);
  tell("spatial", spatial);
  document.getElementById("temporal").classList.toggle("none", !t);
  const past = document.getElementById("past");
  if (temporal) {
    light(t - 1, "temporal", temporal);
    tell("temporal", temporal);
    past.textContent = t === 1 ? "Shown on frame 1, all that the state has seen so far." :
      `Shown on frame ${t}; the state sums up frames 1 to ${t}.`;
  } else past.textContent = "No past yet: before the first frame the state is zero.";
  const gate = radios[at.gate];
  gate.checked = true;
  document.getElementById("chosen").textContent =
    `Frame ${t + 1}, ${place(at.cell)}, ${gate.dataset.name}`;
  document.getElementById("what").textContent = gate.dataset.what;
  Object.assign(view.dataset, at);
  const hash = `#frame=${t + 1}&cell=${at.cell + 1}&gate=${gate.value}`;
  try { history.replaceState(null, "", hash); } catch { /* where a page may not, it need not */ }
}

function choose(change, focus) {
  Object.assign(at, change);
  render();
  if (focus) cells[at.frame][at.cell].focus();
}

function moved(across, down) {
  const row = Math.floor(at.cell / data.columns) + down;
  const column = at.cell % data.columns + across;
  const inside = row >= 0 && row < data.rows && column >= 0 && column < data.columns;
  return { cell: inside ? row * data.columns + column : at.cell };
}

function turned(by) {
  return { frame: Math.min(Math.max(at.frame + by, 0), frames.length - 1) };
}

const MOVES = {
  ArrowLeft: () => moved(-1, 0), ArrowRight: () => moved(1, 0),
  ArrowUp: () => moved(0, -1), ArrowDown: () => moved(0, 1),
  PageUp: () => turned(-1), PageDown: () => turned(1), "[": () => turned(-1), "]": () => turned(1),
};

view.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const inFrames = event.target.closest(".cells") !== null;
  const gate = radios.findIndex((radio) => radio.value === event.key.toLowerCase());
  if (gate >= 0) {
    choose({ gate }, false);
    if (!inFrames) radios[gate].focus();
  } else if (inFrames && Object.hasOwn(MOVES, event.key)) choose(MOVES[event.key](), true);
  else return;
  event.preventDefault();
});

frames.forEach((frame, k) => {
  frame.querySelector(".cells").addEventListener("click", (event) => {
    const cell = cells[k].indexOf(event.target);
    if (cell >= 0) choose({ frame: k, cell }, true);
  });
});

radios.forEach((radio, gate) => radio.addEventListener("change", () => choose({ gate }, false)));

// A link may say where to begin; what is out of range is not heeded.
function fromLink() {
  const said = new URLSearchParams(location.hash.slice(1));
  const within = (name, end) => {
    const value = Number(said.get(name)) - 1;
    return Number.isInteger(value) && value >= 0 && value < end ? { [name]: value } : {};
  };
  const gate = radios.findIndex((radio) => radio.value === said.get("gate"));
  return { ...within("frame", frames.length), ...within("cell", N), ...(gate < 0 ? {} : { gate }) };
}

window.addEventListener("hashchange", () => choose(fromLink(), false));
choose(fromLink(), false);
