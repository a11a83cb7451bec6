"use strict";
// The rater's page. A vote is shown as saved only after the server says so; the next pair is already loaded.

const strings = JSON.parse(document.getElementById("strings").textContent);
const $ = (id) => document.getElementById(id);
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie", 0: "both_bad" };
const SETTLE = 250; // ms a pair is on screen before an answer counts: the second half of a double click is none

let state = null;
let shown = null; // ballot on screen
let shownAt = 0;
let busy = false;
const pictures = new Map(); // url -> promise of a decoded picture's object URL

const say = (key, values = {}) => (strings[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function call(path, body = {}) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Arena": "1" },
    body: JSON.stringify(body),
    credentials: "same-origin",
    cache: "no-store",
    signal: AbortSignal.timeout(15000),
  });
  let data = {};
  try { data = await response.json(); } catch { /* a proxy's error page: the status says enough */ }
  return { status: response.status, data };
}

// Calls until the server answers; a database or a network that is away is told to the rater and tried again.
async function persist(path, body) {
  for (let wait = 1000; ; wait = Math.min(wait * 1.5, 8000)) {
    try {
      const reply = await call(path, body);
      if (reply.status < 500) return reply;
    } catch { /* offline or timed out */ }
    notice(say("not_saved"), true);
    await Promise.race([pause(wait), new Promise((done) => addEventListener("online", done, { once: true }))]);
  }
}

function notice(text, alert = false) {
  $("notice").textContent = text;
  $("notice").classList.toggle("alert", alert);
}

function only(section) {
  for (const id of ["welcome", "vote", "rest", "end"]) $(id).hidden = id !== section;
  document.body.dataset.stage = section;
}

async function picture(url) {
  if (!pictures.has(url)) {
    const loading = (async () => {
      for (let attempt = 0; ; attempt++) {
        try {
          const response = await fetch(url, { credentials: "same-origin", cache: "no-store" });
          if (!response.ok) throw new Error(String(response.status));
          const address = URL.createObjectURL(await response.blob());
          const image = new Image();
          image.src = address;
          await image.decode();
          return { address, image };
        } catch (error) {
          if (attempt === 3 || /^4/.test(error.message)) { pictures.delete(url); throw error; }
          await pause(500 * 2 ** attempt);
        }
      }
    })();
    pictures.set(url, loading);
    loading.catch(() => {});
  }
  return pictures.get(url);
}

const urls = (ballot) => [ballot.left, ballot.right, ballot.reference].filter(Boolean);

async function tidy() {
  const wanted = new Set(state.ballots.flatMap(urls));
  for (const [url, loading] of pictures) {
    if (wanted.has(url)) continue;
    pictures.delete(url);
    loading.then(({ address }) => URL.revokeObjectURL(address), () => {});
  }
}

async function show(next, message = "") {
  state = next;
  if (state.stage === "consent") return only("welcome");
  if (state.stage !== "vote") return end();
  only("vote");
  const { done, limit } = state.progress;
  $("count").textContent = limit ? say("progress", { done, limit }) : say("progress_open", { done });
  $("bar").value = limit ? done / limit : state.progress.study;
  $("undo").disabled = !state.can_undo;
  const ballot = state.ballots[0];
  shown = null;
  let loaded;
  const slow = setTimeout(() => notice(say("loading")), 300);
  try {
    loaded = await Promise.all(urls(ballot).map(picture));
  } catch {
    clearTimeout(slow);
    notice(say("broken"), true);
    $("repair").hidden = false;
    return;
  }
  clearTimeout(slow);
  $("repair").hidden = true;
  $("question").textContent = say("question_" + ballot.question);
  const words = ballot.prompt ?? "";
  $("prompt").textContent = words;
  $("prompt").dataset.length = words.length > 240 ? "longer" : words.length > 110 ? "long" : "short";
  $("reference").hidden = !ballot.reference;
  $("pair").classList.toggle("with-reference", Boolean(ballot.reference));
  ["left", "right", "reference"].filter((side) => ballot[side]).forEach((side, i) => {
    $(side).querySelector("img").src = loaded[i].address;
  });
  for (const marked of document.querySelectorAll(".chosen")) marked.classList.remove("chosen");
  zoom(false);
  notice(message);
  shown = ballot;
  shownAt = performance.now();
  document.body.dataset.ballot = String(Number(document.body.dataset.ballot ?? 0) + 1);
  tidy();
  for (const ahead of state.ballots.slice(1)) urls(ahead).forEach((url) => picture(url).catch(() => {}));
}

function end() {
  only("end");
  const done = state.progress.done;
  $("end-title").textContent = say(state.stage);
  $("end-text").textContent = done ? say("done_text", { done }) : "";
  $("completion").hidden = !state.completion_code;
  $("completion").querySelector("output").textContent = state.completion_code ?? "";
  $("return").hidden = !state.return_link;
  if (state.return_link) $("return").querySelector("a").href = state.return_link;
  $("revealed").hidden = !state.revealed;
  $("revealed").textContent = state.revealed ? `${say("revealed")}: ${state.revealed.join(", ")}` : "";
  $("end-title").focus();
}

async function answer(choice) {
  if (busy || !shown || document.body.dataset.stage !== "vote" || performance.now() - shownAt < SETTLE) return;
  if (!document.querySelector(`#answers [data-answer="${choice}"]`)) return;
  busy = true;
  const seconds = (performance.now() - shownAt) / 1000;
  for (const element of document.querySelectorAll(`[data-answer="${choice}"]`)) element.classList.add("chosen");
  const late = setTimeout(() => $("notice").classList.contains("alert") || notice(say("saving")), 400);
  const { data } = await persist("api/vote", { token: shown.token, answer: choice, seconds });
  clearTimeout(late);
  busy = false;
  await settle(data, data.state && data.error ? say(data.error) : "");
  if (data.saved && state.stage === "vote" && state.progress.done % state.break_after === 0) rest();
}

// Whatever the server answered, what it says is now the truth; without a state we ask for one.
async function settle(data, message = "") {
  if (!data.state) data = (await persist("api/state")).data;
  if (data.state) await show(data.state, message);
  else refuse(data);
}

function refuse(data) {
  only("welcome");
  $("refusal").textContent = say(data.error ?? "bad_request");
}

function rest() {
  $("rest-text").textContent = say("break_text", { done: state.progress.done });
  only("rest");
  $("continue").focus();
}

async function undo() {
  if (busy || !state?.can_undo || document.body.dataset.stage !== "vote") return;
  busy = true;
  const { data } = await persist("api/undo");
  busy = false;
  await settle(data, say(data.error ?? "undone"));
}

async function skip() {
  if (busy) return;
  busy = true;
  $("repair").hidden = true;
  const { data } = await persist("api/skip", { token: state.ballots[0].token });
  busy = false;
  await settle(data);
}

function zoom(on = !$("pair").classList.contains("zoomed")) {
  $("pair").classList.toggle("zoomed", on);
  $("zoom").setAttribute("aria-pressed", String(on));
}

function aim(event) {
  const figure = event.target.closest("figure");
  if (!figure || !$("pair").classList.contains("zoomed")) return;
  const box = figure.getBoundingClientRect();
  const share = (value, from, size) => `${Math.max(0, Math.min(100, (100 * (value - from)) / size))}%`;
  $("pair").style.setProperty("--x", share(event.clientX, box.left, box.width));
  $("pair").style.setProperty("--y", share(event.clientY, box.top, box.height));
}

let touch = null;
let swiped = 0;

function wire() {
  $("start").addEventListener("click", async () => {
    if (busy) return;
    busy = true;
    const parameters = Object.fromEntries(new URLSearchParams(location.search));
    delete parameters.lang;
    const { data } = await persist("api/start", { consent: true, parameters });
    busy = false;
    if (!data.state) return refuse(data);
    // The panel's id need not stay in the address bar, the history or a screenshot.
    history.replaceState(null, "", location.pathname);
    await show(data.state);
    $("question").focus();
  });
  $("language").addEventListener("change", () => {
    const parameters = new URLSearchParams(location.search);
    parameters.set("lang", $("language").value);
    location.search = parameters.toString();
  });
  $("undo").addEventListener("click", undo);
  $("zoom").addEventListener("click", () => zoom());
  $("retry").addEventListener("click", () => show(state));
  $("skip").addEventListener("click", skip);
  $("continue").addEventListener("click", () => { only("vote"); shownAt = performance.now(); $("question").focus(); });
  $("answers").addEventListener("click", (event) => {
    const button = event.target.closest("[data-answer]");
    if (button && event.detail < 2) answer(button.dataset.answer);
  });
  $("pair").addEventListener("click", (event) => {
    const figure = event.target.closest("[data-answer]");
    if ($("pair").classList.contains("zoomed")) return zoom(false);
    if (figure && event.detail < 2 && Date.now() - swiped > 500) answer(figure.dataset.answer);
  });
  $("pair").addEventListener("pointermove", aim);
  $("pair").addEventListener("touchstart", (event) => {
    touch = event.touches.length === 1 ? { x: event.touches[0].clientX, y: event.touches[0].clientY } : null;
  }, { passive: true });
  $("pair").addEventListener("touchend", (event) => {
    if (!touch || $("pair").classList.contains("zoomed")) return;
    const x = event.changedTouches[0].clientX - touch.x;
    const y = event.changedTouches[0].clientY - touch.y;
    touch = null;
    // Towards the picture that is chosen: sideways, or up and down where the pictures are stacked.
    const stacked = $("right").offsetTop > $("left").offsetTop;
    const [along, across] = stacked ? [y, x] : [x, y];
    if (Math.abs(along) < 60 || Math.abs(along) < 2 * Math.abs(across)) return;
    if (stacked && document.documentElement.scrollHeight > innerHeight + 1) return; // a finger that scrolls
    swiped = Date.now();
    answer(along < 0 ? "left" : "right");
  });
  addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || $("vote").hidden) return;
    const key = event.key.toLowerCase();
    if (event.key in KEYS) { event.preventDefault(); answer(KEYS[event.key]); }
    else if (key === "u" || event.key === "Backspace") { event.preventDefault(); undo(); }
    else if (key === "z") zoom();
    else if (event.key === "Escape") zoom(false);
  });
  // Back from another page: what was on screen may have been answered since.
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

wire();
persist("api/state").then(({ data }) => (data.state ? show(data.state) : refuse(data)));
