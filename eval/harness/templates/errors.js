startTheme();
for (const box of document.querySelectorAll(".shown input")) {
  box.onchange = () => {
    for (const pair of document.querySelectorAll(".pair")) {
      if (pair.dataset.method === box.value) pair.hidden = !box.checked;
    }
  };
  box.onchange();  // a reloaded page keeps what was ticked
}
