(() => {
  const dialog = document.querySelector("dialog");
  const panes = [...dialog.querySelectorAll(".pane")];
  const words = dialog.querySelector(".words");
  let row = null;
  const pictures = () => [...row.querySelectorAll("img[data-contender]")];
  const show = (pane) => {
    const name = pane.querySelector("select").value;
    const from = pictures().find((img) => img.dataset.contender === name);
    const to = pane.querySelector("img");
    to.src = from.src;
    to.alt = from.alt;
    to.className = from.className;
  };
  const fill = (pane, name) => {
    const select = pane.querySelector("select");
    select.replaceChildren(...pictures().map((img) => new Option(img.dataset.contender)));
    select.value = name;
    show(pane);
  };
  const open = (button) => {
    row = button.closest(".row");
    const name = button.querySelector("img").dataset.contender;
    const names = pictures().map((img) => img.dataset.contender);
    const wanted = dialog.dataset.chosen;
    const other = wanted !== name && names.includes(wanted) ? wanted : names.find((n) => n !== name) || name;
    words.textContent = row.dataset.prompt;
    fill(panes[0], name);
    fill(panes[1], other);
    dialog.showModal();
  };
  document.querySelectorAll(".open").forEach((b) => b.addEventListener("click", () => open(b)));
  panes.forEach((pane) => pane.querySelector("select").addEventListener("change", () => show(pane)));
  dialog.querySelector("button").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
})();
