(() => {
  const dialog = document.querySelector("dialog");
  const panes = [...dialog.querySelectorAll(".pane")];
  const words = dialog.querySelector(".words");
  const rows = [...document.querySelectorAll(".row")].filter((r) => r.querySelector("img[data-contender]"));
  let row = null;
  const pictures = () => [...row.querySelectorAll("img[data-contender]")];
  const names = () => pictures().map((img) => img.dataset.contender);
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
    select.replaceChildren(...names().map((n) => new Option(n)));
    select.value = name;
    show(pane);
  };
  const compare = (left, right) => {
    words.textContent = row.dataset.prompt;
    fill(panes[0], left);
    fill(panes[1], right);
  };
  const open = (button) => {
    row = button.closest(".row");
    const name = button.querySelector("img").dataset.contender;
    const wanted = dialog.dataset.chosen;
    const other = wanted !== name && names().includes(wanted) ? wanted : names().find((n) => n !== name) || name;
    compare(name, other);
    dialog.showModal();
  };
  const move = (by) => {
    const chosen = panes.map((pane) => pane.querySelector("select").value);
    row = rows[(rows.indexOf(row) + by + rows.length) % rows.length];
    const there = names();
    const left = there.includes(chosen[0]) ? chosen[0] : there[0];
    const right = there.includes(chosen[1]) ? chosen[1] : there.find((n) => n !== left) || left;
    compare(left, right);
  };
  document.querySelectorAll(".open").forEach((b) => b.addEventListener("click", () => open(b)));
  panes.forEach((pane) => pane.querySelector("select").addEventListener("change", () => show(pane)));
  dialog.querySelectorAll("[data-move]").forEach((b) =>
    b.addEventListener("click", () => move(Number(b.dataset.move))));
  dialog.addEventListener("keydown", (event) => {
    if (event.target.tagName === "SELECT") return;
    if (event.key === "ArrowLeft") move(-1);
    if (event.key === "ArrowRight") move(1);
  });
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
})();
