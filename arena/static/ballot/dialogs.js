// The menu and what it opens: instructions, a report about a picture, the end. Also the original of an edit.

function closeMenu() {
  part("menu").hidden = true;
  part("more").setAttribute("aria-expanded", "false");
}

function toggleMenu() {
  const opens = part("menu").hidden;
  part("menu").hidden = !opens;
  part("more").setAttribute("aria-expanded", String(opens));
  if (opens) part("menu").querySelector("button:not([hidden])").focus();
}

function open(name) {
  closeMenu();
  part(name).showModal();
}

async function report(form) {
  const values = new FormData(form);
  if (busy || !shown) return;
  busy = true;
  const body = { token: shown.token, side: values.get("side"), reason: values.get("reason") };
  const { data } = await persist("api/report", body);
  busy = false;
  await settle(data, say(data.error ?? "reported"));
}

async function finish() {
  closeMenu();
  if (busy) return;
  busy = true;
  const { data } = await persist("api/finish");
  busy = false;
  await settle(data);
}

// An address that takes this rater's session to another browser, once.
async function move() {
  if (busy) return;
  busy = true;
  const { data } = await persist("api/move");
  busy = false;
  if (!data.code) return notice(say(data.error ?? "bad_request"), true);
  part("move-address").textContent = new URL(`?move=${data.code}`, document.baseURI).href;
  open("move-dialog");
}

function wireDialogs() {
  part("move").addEventListener("click", move);
  part("more").addEventListener("click", toggleMenu);
  part("instructions").addEventListener("click", () => open("instructions-dialog"));
  part("report").addEventListener("click", () => {
    if (!shown) return;
    part("report-dialog").querySelector("form").reset();
    open("report-dialog");
  });
  part("finish").addEventListener("click", finish);
  part("open-original").addEventListener("click", () => {
    zoom.originalOpened = true;
    open("original-dialog");
  });
  for (const button of element.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  part("original").addEventListener("click", () => part("original-dialog").close());
  const form = part("report-dialog").querySelector("form");
  form.addEventListener("submit", () => report(form));
  document.addEventListener("click", (event) => {
    if (!part("menu").hidden && !event.target.closest(".tools")) closeMenu();
  });
}
