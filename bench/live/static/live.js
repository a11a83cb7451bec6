"use strict";
// Every keystroke asks for a picture at once; the newest text wins, at the server. Times are the browser's own:
// from the key's event to the first frame that shows the picture.

(() => {
  const STAGES = ["network", "wait", "encode", "denoise", "decode", "paint"];
  const KEPT = 200; // pictures the figures on the page are taken from
  const STRIP = 24; // pictures of the history
  const PAUSE = 700; // ms without a key after which a picture counts as one to remember
  const person = crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2) + Date.now();
  const settings = { steps: null, seed: 1, strength: 0.5, reference: false };
  const rows = []; // what FeltPicture holds, in milliseconds
  const history = [];
  let keys = 0; // keystrokes so far; a picture knows the one it draws
  const FLYING = 3; // requests of a seat on their way: one drawn, one waiting, and the newer one that replaces it
  const flying = [0, 0];
  const held = [null, null];
  let painted = [0, 0]; // the newest keystroke each seat shows
  let retry = null;
  let settle = null;

  const $ = (selector) => document.querySelector(selector);
  const box = () => $("#prompt textarea");
  const seats = () => [...document.querySelectorAll("#pictures figure")];
  const headers = { "Content-Type": "application/json", "X-Live": "1" };

  function say(text, alarm = false) {
    const line = $("#figures");
    line.textContent = text;
    line.classList.toggle("alarm", alarm);
  }

  function body(seat, text, key, keep = false) {
    return JSON.stringify({
      person, seat, key, text, steps: settings.steps, seed: settings.seed,
      strength: settings.reference ? settings.strength : null, keep,
    });
  }

  // `began`: when the key was pressed, on the clock of performance.now().
  function ask(began) {
    keys += 1;
    clearTimeout(retry);
    clearTimeout(settle);
    if (!box().value.trim()) return;
    for (const figure of seats()) want({ figure, seat: Number(figure.dataset.seat), key: keys, began, text: box().value });
  }

  // A browser opens six connections to a server; what would queue for one is held here, where the newest wins too.
  function want(wish) {
    if (flying[wish.seat] < FLYING) draw(wish);
    else held[wish.seat] = wish;
  }

  function landed(seat) {
    flying[seat] -= 1;
    const wish = held[seat];
    held[seat] = null;
    if (wish) want(wish);
  }

  async function draw({ figure, seat, key, began, text }) {
    let response;
    flying[seat] += 1;
    try {
      response = await fetch("live/draw", { method: "POST", headers, body: body(seat, text, key) });
    } catch {
      return again("The server does not answer.", key);
    } finally {
      landed(seat);
    }
    if (response.status === 204) return; // newer text has taken its place
    if (!response.ok) return refuse(response, key);
    const about = JSON.parse(response.headers.get("X-Picture"));
    const blob = await response.blob();
    const arrived = performance.now();
    if (key < painted[seat]) return; // overtaken on the way
    painted[seat] = key;
    const image = new Image();
    image.alt = text;
    image.src = URL.createObjectURL(blob);
    await image.decode();
    figure.querySelector(".paper").replaceChildren(image);
    await frame();
    const row = { ...about, network: arrived - began - about.server, paint: performance.now() - arrived };
    row.behind = keys - key;
    row.key = key;
    row.text = text;
    rows.push(row);
    figure.querySelector("b").textContent = about.contender;
    figure.querySelector(".note").dataset.cut = about.truncated ? "the end of the text was cut" : "";
    show(about);
    if (row.behind === 0) settle = setTimeout(() => remember(figure, seat, text, about.contender, image.src), PAUSE);
    else setTimeout(() => URL.revokeObjectURL(image.src), 5000);
  }

  // Resolves after the next frame has been painted: a message posted inside the frame's callback comes after it.
  const frame = () => new Promise((done) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => { channel.port1.close(); done(); };
    channel.port2.postMessage(0);
  }));

  async function refuse(response, key) {
    let told = {};
    try { told = await response.json(); } catch { /* a proxy's page: the status says enough */ }
    if (told.busy) return again(told.error, key);
    say(told.error ?? (told.detail ? "The page sent something that cannot be read." : `Error ${response.status}`), true);
  }

  function again(text, key) {
    say(text, true);
    if (key !== keys) return;
    clearTimeout(retry);
    retry = setTimeout(() => ask(performance.now()), 3000);
  }

  const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
  const total = (row) => STAGES.reduce((sum, stage) => sum + row[stage], 0);

  function show(about) {
    const recent = rows.slice(-KEPT);
    const column = (pick) => recent.map(pick).sort((a, b) => a - b);
    const whole = column(total);
    const cells = [...STAGES.map((s) => [s, column((row) => row[s])]), ["total", whole]]
      .map(([name, sorted]) => [name, at(sorted, 0.5), at(sorted, 0.95)]);
    $("#stages tbody").innerHTML = cells.map(([name, half, most]) =>
      `<tr data-stage="${name}"><th scope="row">${name}</th><td>${half.toFixed(0)}</td><td>${most.toFixed(0)}</td></tr>`).join("");
    $("#bar").innerHTML = cells.slice(0, -1)
      .map((cell) => `<i data-stage="${cell[0]}" style="flex-grow:${Math.max(cell[1], 0).toFixed(2)}" title="${cell[0]}"></i>`).join("");
    const others = about.people > 1 ? `, ${about.people} people share the card` : "";
    say(`Time to picture: half within ${at(whole, 0.5).toFixed(0)} ms, 95% within ${at(whole, 0.95).toFixed(0)} ms, of the last ${recent.length} pictures${others}.`);
  }

  function remember(figure, seat, text, contender, address) {
    const known = { text, seed: settings.seed, contender };
    if (history.some((h) => h.text === text && h.seed === known.seed && h.contender === contender)) return;
    history.push(known);
    const item = document.createElement("button");
    item.type = "button";
    item.setAttribute("role", "listitem");
    item.title = `${text}\n${contender}, seed ${known.seed}`;
    const image = new Image();
    image.src = address;
    image.alt = text;
    item.append(image);
    item.addEventListener("click", () => {
      box().value = text;
      box().dispatchEvent(new Event("input", { bubbles: true }));
      box().focus();
    });
    $("#history").prepend(item);
    while ($("#history").children.length > STRIP) {
      URL.revokeObjectURL($("#history").lastElementChild.querySelector("img").src);
      $("#history").lastElementChild.remove();
      history.shift();
    }
  }

  async function save(figure) {
    const response = await fetch("live/draw", { method: "POST", headers, body: body(Number(figure.dataset.seat), box().value, keys, true) });
    if (response.status !== 200) return refuse(response, -1);
    const about = JSON.parse(response.headers.get("X-Picture"));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    const words = box().value.trim().toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 60);
    link.download = `${words || "picture"}_${about.contender}_seed-${settings.seed}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 5000);
  }

  async function refer(file) {
    settings.reference = false;
    if (!file) {
      await fetch(`live/reference/${person}`, { method: "DELETE", headers });
      return ask(performance.now());
    }
    const picture = await (await fetch(file.url)).blob();
    const response = await fetch(`live/reference/${person}`, {
      method: "POST", headers: { ...headers, "Content-Type": "application/octet-stream" }, body: picture,
    });
    if (!response.ok) return refuse(response, -1);
    settings.reference = true;
    ask(performance.now());
  }

  function set(name, value) {
    const now = performance.now();
    if (name === "reference") return void refer(value);
    if (name === "steps") settings.steps = Number(value) || null;
    else settings[name] = Number(value) || 0;
    if (name === "strength" && !settings.reference) return;
    ask(now);
  }

  // Gradio builds the page after us, and may build it again: listen above it.
  document.addEventListener("input", (event) => {
    if (event.target === box()) ask(event.timeStamp);
  }, true);
  document.addEventListener("click", (event) => {
    if (event.target.matches?.("#pictures .save")) save(event.target.closest("figure"));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches?.("#pictures .save")) save(event.target.closest("figure"));
  });
  addEventListener("pagehide", () => {
    fetch(`live/leave/${person}`, { method: "POST", headers, keepalive: true });
  });
  window.live = { set, rows, person, ready: () => Boolean(box() && seats().length), keys: () => keys, settings: () => ({ ...settings }), flying: () => [...flying] };
})();
