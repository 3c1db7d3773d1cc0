"use strict";
// Frames, cells and gates count from 0 here, and from 1 in the page and its link.
const data = JSON.parse(document.getElementById("data").textContent);
const view = document.getElementById("view");
const frames = [...document.querySelectorAll(".frame")];
const radios = [...document.querySelectorAll("input[name=gate]")];
const N = data.rows * data.columns;
const MEAN = data.gates;
const weights = { spatial: unpack(data.spatial), temporal: unpack(data.temporal) };
const cells = frames.map(addCells);
const at = { frame: data.frame, cell: data.cell, gate: MEAN };

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
}

function unpack(kind) {
  const { levels, scales } = kind;
  return { levels: new Int16Array(bytes(levels)), scales: new Float32Array(bytes(scales)) };
}

// Returns w_ij of the selected position i for all j.
function selectedWeights(kind) {
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
  const added = [];
  for (let row = 0; row < data.rows; row++) {
    const line = element("div", { role: "row" });
    for (let column = 0; column < data.columns; column++) {
      const cell = element("div", {
        role: "gridcell", tabindex: "-1", "aria-label": place(added.length),
      });
      added.push(cell);
      line.append(cell);
    }
    grid.append(line);
  }
  return added;
}

function element(tag, attributes, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) created.setAttribute(name, value);
  created.append(...children);
  return created;
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
  return data.shares ? Math.max(largest, data.min_scale / N) : largest || 1;
}

// Blends the color and black into one translucent color, like `heat.overlay` in Python.
function color(share, kind) {
  const strength = Math.min(Math.abs(share), 1);
  const tint = data.tint * strength;
  const opacity = tint + data.veil * (1 - strength) * (1 - tint);
  const rgb = data.colors[share < 0 ? "negative" : kind];
  return `rgb(${rgb.map((channel) => Math.round(channel * tint / opacity)).join(" ")} / ${opacity})`;
}

function showHeatMap(frame, kind, w) {
  const top = topOfScale(w);
  cells[frame].forEach((cell, j) => {
    cell.style.backgroundColor = color(w[j] / top, kind);
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

function describePeak(w) {
  const order = [...w.keys()].sort((a, b) => Math.abs(w[b]) - Math.abs(w[a]));
  const [first, second, third] = order;
  const [low, high] = [Math.min(...w), Math.max(...w)];
  if (high - low <= 0.25 * Math.abs(w[first])) {
    return `Attends to all ${N} cells about equally (${number(low)} to ${number(high)}).`;
  }
  // Omits cells with less than 1 % of the largest weight.
  const named = [first, second, third].filter((j) => Math.abs(w[j]) > 0.01 * Math.abs(w[first]));
  const [most, ...others] = named.map((j) => `${place(j)} (${number(w[j])})`);
  return `Attends most to ${most}${others.length ? `, then to ${others.join(" and ")}` : ""}.`;
}

// Gives the perplexity of w: uniform attention to that many cells has the same entropy.
function describeSpread(w) {
  const entropy = -w.reduce((sum, share) => sum + (share > 0 ? share * Math.log(share) : 0), 0);
  return `As spread out as uniform attention to ${Math.exp(entropy).toFixed(1)} of ${N} cells.`;
}

function describe(kind, w) {
  const card = document.getElementById(kind);
  card.querySelector(".peak").textContent = describePeak(w);
  card.querySelector(".spread").textContent = data.shares ? describeSpread(w) : "";
  const top = topOfScale(w);
  const low = card.querySelector(".low");
  low.textContent = w.some((share) => share < 0) ? number(-top) : "0";
  card.querySelector(".high").textContent = number(top);
  const bar = card.querySelector(".bar");
  const from = w.some((share) => share < 0) ? -1 : 0;
  const stops = [...Array(9).keys()].map((k) => color(from + (1 - from) * k / 8, kind));
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
  const spatial = selectedWeights("spatial");
  const temporal = t ? selectedWeights("temporal") : null;
  frames.forEach((frame, k) => {
    frame.dataset.is = k === t ? "now" : k === t - 1 ? "before" : k < t ? "past" : "later";
    const relation = frame.querySelector(".relation");
    clear(k);
    cells[k].forEach((cell, j) => {
      const chosen = k === t && j === at.cell;
      cell.setAttribute("aria-selected", chosen);
      cell.tabIndex = chosen ? 0 : -1;
      cell.classList.toggle("same", k === t - 1 && j === at.cell);
    });
    if (k === t) relation.replaceChildren("r(", ...sub("X", t + 1), ", ", ...sub("X", t + 1), ")");
    else if (k === t - 1) {
      relation.replaceChildren("r(", ...sub("X", t + 1), ", ", ...sub("H", t), ")");
    } else relation.replaceChildren();
  });
  showHeatMap(t, "spatial", spatial);
  describe("spatial", spatial);
  document.getElementById("temporal").classList.toggle("none", !t);
  const past = document.getElementById("past");
  if (temporal) {
    showHeatMap(t - 1, "temporal", temporal);
    describe("temporal", temporal);
    past.textContent = t === 1 ? "Shown on frame 1, the only one before." :
      `Shown on frame ${t}; the state summarizes frames 1 to ${t}.`;
  } else past.textContent = "No past: the state is zero before the first frame.";
  const gate = radios[at.gate];
  gate.checked = true;
  document.getElementById("chosen").textContent =
    `Frame ${t + 1}, ${place(at.cell)}, ${gate.dataset.name}`;
  document.getElementById("what").textContent = gate.dataset.what;
  Object.assign(view.dataset, at);
  const hash = `#frame=${t + 1}&cell=${at.cell + 1}&gate=${gate.value}`;
  try { history.replaceState(null, "", hash); } catch { /* not allowed for this page */ }
}

function select(change, focus) {
  Object.assign(at, change);
  render();
  if (focus) cells[at.frame][at.cell].focus();
}

function moveCell(across, down) {
  const row = Math.floor(at.cell / data.columns) + down;
  const column = at.cell % data.columns + across;
  const inside = row >= 0 && row < data.rows && column >= 0 && column < data.columns;
  return { cell: inside ? row * data.columns + column : at.cell };
}

function moveFrame(by) {
  return { frame: Math.min(Math.max(at.frame + by, 0), frames.length - 1) };
}

const MOVES = {
  ArrowLeft: () => moveCell(-1, 0), ArrowRight: () => moveCell(1, 0),
  ArrowUp: () => moveCell(0, -1), ArrowDown: () => moveCell(0, 1),
  PageUp: () => moveFrame(-1), PageDown: () => moveFrame(1), "[": () => moveFrame(-1), "]": () => moveFrame(1),
};

view.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const inFrames = event.target.closest(".cells") !== null;
  const gate = radios.findIndex((radio) => radio.value === event.key.toLowerCase());
  if (gate >= 0) {
    select({ gate }, false);
    if (!inFrames) radios[gate].focus();
  } else if (inFrames && Object.hasOwn(MOVES, event.key)) select(MOVES[event.key](), true);
  else return;
  event.preventDefault();
});

frames.forEach((frame, k) => {
  frame.querySelector(".cells").addEventListener("click", (event) => {
    const cell = cells[k].indexOf(event.target);
    if (cell >= 0) select({ frame: k, cell }, true);
  });
});

radios.forEach((radio, gate) => radio.addEventListener("change", () => select({ gate }, false)));

// Reads the selection from the link, without values out of range.
function fromLink() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const within = (name, end) => {
    const value = Number(parameters.get(name)) - 1;
    return Number.isInteger(value) && value >= 0 && value < end ? { [name]: value } : {};
  };
  const gate = radios.findIndex((radio) => radio.value === parameters.get("gate"));
  return { ...within("frame", frames.length), ...within("cell", N), ...(gate < 0 ? {} : { gate }) };
}

window.addEventListener("hashchange", () => select(fromLink(), false));
select(fromLink(), false);
