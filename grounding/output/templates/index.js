"use strict";
// Shows the photos whose caption holds every word that is typed.

const cards = [...document.querySelectorAll(".card")];
const count = document.getElementById("count");

document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const card of cards) {
    const caption = card.dataset.caption.toLowerCase();
    card.hidden = !wanted.every((word) => caption.includes(word));
  }
  const shown = cards.filter((card) => !card.hidden).length;
  count.textContent = wanted.length ? `${shown} of ${cards.length} photos` : `${cards.length} photos`;
});
