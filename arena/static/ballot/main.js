// The session: show an assignment, take the answer, show the next. A vote is shown as saved only after the server
// says so; the next pair is already loaded.

const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie", 0: "both_bad" };
const SETTLE = 250; // ms a pair is on screen before an answer counts: the second half of a double click is none
const TIMED = 4; // answers before the time left is estimated
const durations = []; // ms from one pair to the next, of this visit

function stage(name) {
  host.dataset.stage = name;
  host.arena = { stage: name, state, say }; // for a page whose listener comes later
  trigger("stage", { stage: name });
  element.dispatchEvent(new CustomEvent("arena:stage", { bubbles: true, detail: host.arena }));
}

function drawHeader() {
  const { done, limit, study } = state.progress;
  let words = limit ? say("progress", { done, limit }) : say("progress_open", { done });
  const { practice } = state.ballots[0];
  if (practice) words = say("practice", practice);
  if (limit && !practice && durations.length >= TIMED) {
    const typical = [...durations].sort((a, b) => a - b)[Math.floor(durations.length / 2)];
    const minutes = Math.max(1, Math.round(((limit - done) * typical) / 60000));
    words += ` · ${say("time_left", { minutes })}`;
  }
  part("count").textContent = words;
  part("bar").value = limit ? done / limit : study;
  part("undo").setAttribute("aria-disabled", String(!state.can_undo));
  part("finish").hidden = Boolean(limit) || !done;
}

function drawAnswers(question) {
  const scale = question.answers.length > 4;
  part("answers").classList.toggle("scale", scale);
  part("answers").replaceChildren(...question.answers.map((choice) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.answer = choice.answer;
    if (choice.scale !== undefined) button.dataset.scale = choice.scale;
    const label = (words, kind) => Object.assign(document.createElement("span"), { textContent: words, className: kind, dir: "auto" });
    const key = Object.assign(document.createElement("kbd"), { textContent: choice.key });
    button.append(key, label(choice.beside, "beside"), label(choice.stacked, "stacked"));
    button.addEventListener("click", (event) => { if (event.detail < 2) answer(choice.answer, choice.scale); });
    return button;
  }));
}

function drawQuestion(assignment) {
  const question = settings.questions[assignment.question];
  part("question").textContent = question.text;
  const words = assignment.prompt ?? "";
  part("prompt").hidden = !words;
  part("prompt").textContent = words;
  part("prompt").lang = assignment.prompt_language ?? "";
  part("prompt").dataset.length = words.length > 240 ? "longer" : words.length > 110 ? "long" : "short";
  part("comment-row").hidden = !question.comment;
  part("comment").value = "";
  drawAnswers(question);
  const number = state.progress.done + 1;
  part("announce").textContent = [say("announce", { number }), question.text, words].filter(Boolean).join(" ");
}

async function show(next, message = "") {
  state = next;
  if (state.stage === "consent") return stage("welcome");
  if (state.stage !== "vote") {
    if (state.look_again) lookAgain(state.look_again);
    return stage("end");
  }
  const resting = host.dataset.stage === "rest";
  if (host.dataset.stage !== "vote" && !resting) stage("vote");
  drawHeader();
  const assignment = state.ballots[0];
  shown = assignment;
  loaded = false;
  looked = null;
  Object.assign(zoom, { on: false, used: false, originalOpened: false, x: 0.5, y: 0.5 });
  part("zoom").setAttribute("aria-pressed", "false");
  part("repair").hidden = true;
  for (const dialog of element.querySelectorAll("dialog[open]")) dialog.close();
  let found = null;
  const loading = Promise.all(paths(assignment).map(picture)).then((images) => { found = images; });
  await Promise.race([loading.catch(() => {}), pause(0)]);
  if (!found) { // words first: a slow network brings the pictures later
    ballot.classList.add("loading");
    drawQuestion(assignment);
    drawProgress();
    layout();
  }
  const slow = setTimeout(() => notice(say("loading")), 300);
  try {
    await loading;
  } catch {
    if (shown !== assignment) return;
    notice(say("broken"), true);
    part("repair").hidden = false;
    return;
  } finally {
    clearTimeout(slow);
  }
  if (shown !== assignment) return;
  if (!ballot.classList.contains("loading")) drawQuestion(assignment);
  ballot.classList.remove("loading");
  ["left", "right", "reference"].filter((side) => assignment[side]).forEach((side, i) => {
    part(side).querySelector("img").src = found[i].url;
    if (side !== "reference") return;
    part("original").src = found[i].url;
    part("open-original").querySelector("img").src = found[i].url;
  });
  loaded = true;
  notice(message);
  if (!resting) scrollTo(0, 0);
  layout();
  shownAt = performance.now();
  away = 0;
  host.dataset.ballot = String(Number(host.dataset.ballot ?? 0) + 1);
  releasePictures();
  for (const ahead of state.ballots.slice(1)) paths(ahead).forEach((path) => picture(path).catch(() => {}));
}

// A paused study may go on, and a pair that another rater holds may come back: the page asks, also from the background.
async function lookAgain(seconds) {
  const before = JSON.stringify(state);
  await pause(1000 * seconds);
  if (JSON.stringify(state) !== before) return; // something else was shown meanwhile
  const { data } = await persist("api/state");
  if (!data.state) return refuse(data);
  if (data.state.stage === state.stage) { state = data.state; return lookAgain(state.look_again ?? seconds); }
  await show(data.state);
}

// Why no answer is taken now; the rater is shown what to do about it.
function refuseAnswer() {
  if (!geometry.fits) return;
  if (!loaded) return notice(say("loading"));
  notice(say("see_both"));
  scrollBy({ top: innerHeight * 0.6, behavior: "smooth" });
}

async function answer(choice, scale) {
  if (busy || !shown || host.dataset.stage !== "vote" || performance.now() - shownAt < SETTLE) return;
  if (performance.now() - shownAt < 1000 * (state.min_seconds ?? 0)) return notice(say("too_soon"));
  if (element.querySelector("dialog[open]")) return;
  const own = scale === undefined ? "" : `[data-scale="${scale}"]`;
  const button = part("answers").querySelector(`[data-answer="${choice}"]${own}`);
  if (!button) return;
  if (!mayAnswer()) return refuseAnswer();
  busy = true;
  const elapsed = performance.now() - shownAt;
  const body = { token: shown.token, answer: choice, seconds: elapsed / 1000, display: display() };
  if (scale !== undefined) body.scale = scale;
  if (part("comment").value.trim()) body.comment = part("comment").value.trim();
  button.classList.add("chosen");
  if (part(choice)?.dataset.side) part(choice).classList.add("chosen");
  const late = setTimeout(() => part("notice").classList.contains("alert") || notice(say("saving")), 400);
  const { data } = await persist("api/vote", body);
  clearTimeout(late);
  for (const marked of element.querySelectorAll(".chosen")) marked.classList.remove("chosen");
  busy = false;
  if (data.saved) durations.push(elapsed);
  const rests = data.saved && data.state?.stage === "vote" && !data.feedback && data.state.progress.done % data.state.break_after === 0;
  if (rests) { state = data.state; stage("rest"); }
  await settle(data, data.state && data.error ? say(data.error) : data.feedback ? feedback(data.feedback) : "");
}

// After a practice pair: whether the answer was right, and why.
function feedback({ right, better, why }) {
  const side = geometry.arrangement === "stacked" ? { left: "top", right: "bottom" }[better] : better;
  return [say(right ? "practice_right" : `practice_${side}_better`), why].filter(Boolean).join(" ");
}

// Whatever the server answered, what it says is now the truth; without a state we ask for one.
async function settle(data, message = "") {
  if (!data.state) data = (await persist("api/state")).data;
  if (data.state) await show(data.state, message);
  else refuse(data);
}

function refuse(data) {
  state = { stage: "refused", error: say(data.error ?? "bad_request") };
  stage("welcome");
}

async function undo() {
  if (busy || !state?.can_undo || host.dataset.stage !== "vote") return;
  busy = true;
  const { data } = await persist("api/undo");
  busy = false;
  await settle(data, say(data.error ?? "undone"));
}

async function skip() {
  if (busy) return;
  busy = true;
  part("repair").hidden = true;
  const { data } = await persist("api/skip", { token: state.ballots[0].token });
  busy = false;
  await settle(data);
}

// What the rater says of themselves on the first page; null: a question that must be answered is not.
function declared() {
  const answers = {};
  for (const field of document.querySelectorAll("[data-declare]")) {
    if (field.required && !field.value) { field.focus(); return null; }
    if (field.value) answers[field.dataset.declare] = field.value;
  }
  return answers;
}

async function decline() {
  const { data } = await persist("api/decline");
  state = { ...data, stage: "declined", progress: { done: 0 } };
  stage("end");
}

async function start() {
  const about = declared();
  if (!about) return refuse({ error: "required" });
  const query = Object.fromEntries(new URLSearchParams(location.search));
  const parameters = Object.fromEntries(Object.entries(query).filter(([key]) => !settings.own_parameters.includes(key)));
  const { data } = await persist("api/start", { consent: true, parameters, declared: about });
  if (data.state) await show(data.state);
  else refuse(data);
}

function resume() {
  stage("vote");
  scrollTo(0, 0);
  layout();
  shownAt = performance.now();
  part("question").focus();
}

function onKey(event) {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || host.dataset.stage !== "vote") return;
  if (element.querySelector("dialog[open]")) return;
  const target = event.target instanceof Element ? event.target : document.body;
  if (target.closest("input, textarea, select")) return;
  if (event.key === "Escape" && !part("menu").hidden) { closeMenu(); part("more").focus(); return; }
  if (target.closest(".menu")) return;
  if (zoom.on && zoomKey(event.key)) return event.preventDefault();
  const key = event.key.toLowerCase();
  if (key === "u" || key === "backspace") { event.preventDefault(); return undo(); }
  if (key === "z") return setZoom(!zoom.on);
  if (key === "escape") return setZoom(false);
  // On a page that scrolls the down arrow scrolls.
  if (event.key === "ArrowDown" && ballot.dataset.scrolls === "yes") return;
  const choices = settings.questions[shown?.question]?.answers ?? [];
  const chosen = choices.length > 4 ? choices.find((c) => c.key === event.key) : choices.find((c) => c.answer === KEYS[event.key]);
  if (chosen) { event.preventDefault(); answer(chosen.answer, chosen.scale); }
}

function wire() {
  part("undo").addEventListener("click", undo);
  part("zoom").addEventListener("click", () => setZoom(!zoom.on));
  part("retry").addEventListener("click", () => show(state));
  part("skip").addEventListener("click", skip);
  part("cue").addEventListener("click", () => scrollBy({ top: innerHeight * 0.8, behavior: "smooth" }));
  wireGestures();
  wireDialogs();
  element.addEventListener("arena:start", start);
  element.addEventListener("arena:decline", decline);
  element.addEventListener("arena:continue", resume);
  element.addEventListener("arena:resume", async () => settle((await persist("api/state")).data));
  addEventListener("keydown", onKey);
  addEventListener("resize", layout);
  addEventListener("scroll", look, { passive: true });
  // Fonts and scroll bars change the height of the words above the pictures.
  new ResizeObserver(layout).observe(part("prompt"));
  // Back from another page: what was on screen may have been answered since.
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

wire();
persist("api/state").then(({ data }) => (data.state ? show(data.state) : refuse(data)));
