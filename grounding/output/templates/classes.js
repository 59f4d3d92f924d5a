// The page's state: which target is kept, which one is only looked at, and what is shown of its evidence.

const data = JSON.parse(find("traced").textContent);
const buttons = [...document.querySelectorAll(".target")];
const figures = [...document.querySelectorAll(".method")];
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const state = { kept: 0, looked: null };

sharePhoto();
const overlays = figures.map((figure) => new Overlay(figure.querySelector("canvas"), figure.querySelector("svg"), data));

const shown = () => data.targets[state.looked ?? state.kept];

function draw() {
  const share = find("share").value;
  const view = document.querySelector("input[name=view]:checked").value;
  find("share-value").textContent = `${share} %`;
  overlays.forEach((overlay, index) => {
    overlay.show(shown().evidence[index], { view, share: share / 100, box: find("box").checked });
  });
}

function showTarget() {
  const target = shown();
  buttons.forEach((button, index) => {
    button.setAttribute("aria-pressed", index === state.kept);
    button.classList.toggle("shown", index === (state.looked ?? state.kept));
  });
  const name = document.createElement("b");
  name.textContent = target.text;
  find("verdict").replaceChildren(name, ` ${target.verdict}`);
  draw();
  figures.forEach((figure, index) => {
    const evidence = target.evidence[index];
    figure.querySelector(".facts").textContent = evidence.facts;
    if (!calm.matches) figure.querySelector("canvas").animate([{ opacity: 0.25 }, { opacity: 1 }], 160);
    centre(figure.querySelector(".frame"), evidence.points, data);
  });
}

function keep(index) {
  state.kept = Math.min(Math.max(index, 0), buttons.length - 1);
  state.looked = null;
  showTarget();
}

function look(index) {
  if (state.looked === index) return;
  state.looked = index;
  showTarget();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const at = (selector) => Boolean(event.target.closest?.(selector));
  const moves = { Home: 0, End: buttons.length - 1, ArrowUp: state.kept - 1, ArrowDown: state.kept + 1 };
  if (!(event.key in moves) || !at(".target")) return; // elsewhere these keys scroll, or move the slider
  keep(moves[event.key]);
  buttons[state.kept].focus();
  event.preventDefault();
}

buttons.forEach((button, index) => {
  button.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && look(index));
  button.addEventListener("focus", () => button.matches(":focus-visible") && index !== state.kept && keep(index));
  button.addEventListener("click", () => keep(index));
});
find("targets").addEventListener("pointerleave", () => look(null));
for (const control of document.querySelectorAll(".controls input")) control.addEventListener("input", draw);
document.addEventListener("keydown", onKey);
startTheme();
keep(0);
