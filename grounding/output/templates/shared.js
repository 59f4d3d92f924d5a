"use strict";
// What all pages with evidence do alike.

const find = (id) => document.getElementById(id);

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const other = theme === "dark" ? "light" : "dark";
  find("theme").textContent = `${other[0].toUpperCase()}${other.slice(1)} theme`;
  find("theme").onclick = () => setTheme(other);
}

function startTheme() {
  setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

// In a frame (a notebook, the app) the page tells its height, so that the frame can fit.
if (parent !== window) {
  const tell = () => parent.postMessage({ gazebackHeight: document.body.offsetHeight }, "*");
  addEventListener("load", () => new ResizeObserver(tell).observe(document.body));
}

// The photo travels once in the file and is shown by every method.
function sharePhoto() {
  const photo = document.querySelector(".stage img");
  for (const image of document.querySelectorAll(".stage img")) if (image !== photo) image.src = photo.src;
}

// A very wide or tall photo scrolls inside its frame: bring the strongest evidence into view.
function centre(frame, points, photo) {
  if (!points.length) return;
  const [row, column] = points[0];
  frame.scrollLeft = (column / photo.width) * frame.scrollWidth - frame.clientWidth / 2;
  frame.scrollTop = (row / photo.height) * frame.scrollHeight - frame.clientHeight / 2;
}
