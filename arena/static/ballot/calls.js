"use strict";
// The first of the files that `arena.web.ballot` joins into one script. Gradio runs it once, as the body of a
// function of (element, trigger, props). This file: what all share, calls to the server, loading of pictures.

const { text, settings } = props;
const part = (name) => element.querySelector(`[data-part="${name}"]`);
const ballot = part("ballot");
const host = document.body; // carries data-stage and data-ballot, for the page around
const say = (key, values = {}) => (text[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

let state = null; // the server's last answer
let shown = null; // the assignment on screen
let loaded = false; // both of its pictures can be seen
let shownAt = 0; // when they could, ms
let busy = false; // an answer is on its way
let away = 0; // ms of this pair during which the page was hidden
let hiddenAt = 0;
document.addEventListener("visibilitychange", () => {
  if (document.hidden) hiddenAt = performance.now();
  else if (hiddenAt) { away += performance.now() - Math.max(hiddenAt, shownAt); hiddenAt = 0; }
});

// Addresses are relative to the page's <base>, so that the server may live below any path.
const address = (path) => new URL(settings.base + path, document.baseURI).href;

async function call(path, body = {}) {
  const response = await fetch(address(`${path}?lang=${settings.language}`), {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Arena": "1" },
    body: JSON.stringify(body),
    credentials: settings.credentials,
    cache: "no-store",
    signal: AbortSignal.timeout(15000),
  });
  let data = {};
  try { data = await response.json(); } catch { /* a proxy's error page: the status says enough */ }
  return { status: response.status, data };
}

// Calls until the server answers. While a database or a network is away the rater reads one sentence.
async function persist(path, body) {
  for (let wait = 1000; ; wait = Math.min(wait * 1.5, 8000)) {
    try {
      const reply = await call(path, body);
      if (reply.status < 500) return reply;
    } catch { /* offline or timed out */ }
    notice(say(path === "api/vote" ? "not_saved" : "not_reached"), true);
    await Promise.race([pause(wait), new Promise((done) => addEventListener("online", done, { once: true }))]);
  }
}

function notice(words, alert = false) {
  if (part("notice").textContent !== words) part("notice").textContent = words;
  part("notice").classList.toggle("alert", alert);
  if (alert) part("notice").scrollIntoView({ block: "nearest" }); // a second line may lie below the window
}

const pictures = new Map(); // path -> promise of a decoded picture's object URL
const received = new Map(); // path -> share of its bytes that have arrived, 0 to 1
const paths = (assignment) => [assignment.left, assignment.right, assignment.reference].filter(Boolean);

async function download(path) {
  const response = await fetch(address(path), { credentials: settings.credentials, cache: "no-store" });
  if (!response.ok) throw new Error(String(response.status));
  const total = Number(response.headers.get("Content-Length")) || Infinity;
  const reader = response.body.getReader();
  const chunks = [];
  for (let bytes = 0, step = await reader.read(); !step.done; step = await reader.read()) {
    chunks.push(step.value);
    bytes += step.value.length;
    received.set(path, bytes / total);
    drawProgress();
  }
  const url = URL.createObjectURL(new Blob(chunks, { type: response.headers.get("Content-Type") ?? "" }));
  const image = new Image();
  image.src = url;
  await image.decode();
  return { url, image };
}

function picture(path) {
  if (!pictures.has(path)) {
    const loading = (async () => {
      for (let attempt = 0; ; attempt++) {
        try {
          return await download(path);
        } catch (error) {
          if (attempt === 3 || /^4/.test(error.message)) { pictures.delete(path); throw error; }
          await pause(500 * 2 ** attempt);
        }
      }
    })();
    pictures.set(path, loading);
    loading.catch(() => {});
  }
  return pictures.get(path);
}

// Releases the pictures of assignments that are over.
function releasePictures() {
  const wanted = new Set(state.ballots.flatMap(paths));
  for (const [path, loading] of pictures) {
    if (wanted.has(path)) continue;
    pictures.delete(path);
    received.delete(path);
    loading.then(({ url }) => URL.revokeObjectURL(url), () => {});
  }
}

// While pictures load, both frames show the share of the slower one: neither is to look readier.
function drawProgress() {
  if (!shown || loaded) return;
  const share = Math.min(...[shown.left, shown.right].map((path) => received.get(path) ?? 0));
  for (const bar of ballot.querySelectorAll(".wait i")) bar.style.width = `${Math.round(100 * share)}%`;
}
