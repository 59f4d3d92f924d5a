// The page's state: which word is kept, which one is only looked at, what is shown of it, and whether it plays.

const STEP = 1600; // milliseconds per word while playing
const data = JSON.parse(document.getElementById("grounding").textContent);
const buttons = [...document.querySelectorAll(".word")];
const figures = [...document.querySelectorAll(".method")];
const overlays = figures.map((figure) => new Overlay(figure.querySelector("canvas"), figure.querySelector("svg"), data));
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const state = { kept: 0, looked: null, timer: null };

const options = () => ({
  view: document.querySelector("input[name=view]:checked").value,
  share: find("share").value / 100,
  box: find("box").checked,
  outlines: find("outlines").checked,
});

function draw() {
  find("share-value").textContent = `${find("share").value} %`;
  const word = data.words[state.looked ?? state.kept];
  // a word from habit has little evidence: do not let it look strong
  overlays.forEach((overlay, at) => overlay.show(word.evidence[at], { ...options(), faint: word.habit }, word.outlines));
}

function markRelevance(word) {
  const strongest = Math.max(...word.preceding.map(Math.abs), 1e-9);
  buttons.forEach((button, index) => {
    const relevance = word.preceding[index];
    const strength = Math.abs(relevance ?? 0) / strongest;
    const side = relevance === undefined || strength < 0.02 ? "" : relevance < 0 ? "against" : "for";
    button.classList.toggle("for", side === "for");
    button.classList.toggle("against", side === "against");
    button.style.setProperty("--thickness", `${(1.5 + 4 * strength).toFixed(1)}px`);
    button.querySelector(".relevance").textContent = side ? signed(relevance) : "";
  });
}

function showWord() {
  const index = state.looked ?? state.kept;
  const word = data.words[index];
  buttons.forEach((button, at) => {
    button.setAttribute("aria-pressed", at === state.kept);
    button.classList.toggle("shown", at === index);
  });
  markRelevance(word);
  const unknown = word.known ? "" : " It is not in the captioner’s vocabulary and is explained as the unknown word.";
  find("verdict").replaceChildren(element("b", "", `“${word.text}”`), ` ${word.verdict}${unknown}`);
  find("details").replaceChildren(...describe(word, data.words));
  const nothing = overlays.length === 1 && !word.evidence[0].points.length;
  const remark = (word.doubtful ? " · likely false" : "") + (nothing ? " · no evidence" : word.habit ? " · language habit" : "");
  find("chip").textContent = word.text + remark;
  draw();
  figures.forEach((figure, at) => {
    if (!calm.matches) figure.querySelector("canvas").animate([{ opacity: 0.25 }, { opacity: 1 }], 160);
    centre(figure.querySelector(".frame"), word.evidence[at].points, data);
  });
}

function keep(index) {
  state.kept = Math.min(Math.max(index, 0), buttons.length - 1);
  state.looked = null;
  showWord();
}

function look(index) {
  if (state.timer !== null || state.looked === index) return;
  state.looked = index;
  showWord();
}

function play(on) {
  clearInterval(state.timer);
  state.timer = null;
  if (on) {
    keep(state.kept >= buttons.length - 1 ? 0 : state.kept);
    state.timer = setInterval(() => {
      keep(state.kept + 1);
      if (state.kept === buttons.length - 1) play(false);
    }, STEP);
  }
  find("play").setAttribute("aria-pressed", on);
  find("play-label").textContent = on ? "Pause" : "Play";
}

function move(index) {
  play(false);
  keep(index);
  if (document.activeElement?.classList.contains("word")) buttons[state.kept].focus();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const at = (selector) => Boolean(event.target.closest?.(selector));
  const moves = { ArrowLeft: state.kept - 1, ArrowRight: state.kept + 1 };
  if (at(".word")) Object.assign(moves, { Home: 0, End: buttons.length - 1 });
  if (event.key in moves && !at("input[type=range], input[type=radio]")) move(moves[event.key]);
  else if (event.key === " " && (at(".word") || !at("input, button, summary"))) play(state.timer === null);
  else return; // the other controls have keys of their own
  event.preventDefault();
}

function start() {
  buttons.forEach((button, index) => {
    button.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && look(index));
    button.addEventListener("focus", () => button.matches(":focus-visible") && index !== state.kept && move(index));
    button.addEventListener("click", () => move(index));
  });
  find("caption").addEventListener("pointerleave", () => look(null));
  for (const control of document.querySelectorAll(".controls input")) control.addEventListener("input", draw);
  find("play").addEventListener("click", () => play(state.timer === null));
  document.addEventListener("keydown", onKey);
  document.addEventListener("keyup", (event) => event.key === " " && event.target.closest?.(".word") && event.preventDefault());
  startTheme();
  sharePhoto();
  find("outlines-label").hidden = !data.words.some((word) => word.outlines.length);
  const shares = data.words.map((word) => (word.habit ? -1 : word.visual));
  if (buttons.length) keep(shares.indexOf(Math.max(...shares))); // open on the word that owes most to the photo
}

start();
