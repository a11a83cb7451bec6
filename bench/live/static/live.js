"use strict";
// Every keystroke asks for a picture at once; the newest text wins, at the server. Times are the browser's own, and
// there are two. Of a picture: from the key it draws to the first frame that shows it. Of a key: to the first frame
// whose picture reflects it, be that its own picture or, where newer text took its place, a later key's. The second is
// what a person waits; the first leaves out every key whose picture was replaced.

(() => {
  const STAGES = ["network", "wait", "encode", "denoise", "decode", "paint"];
  const KEPT = 200; // pictures the figures on the page are taken from
  const STRIP = 24; // pictures of the history
  const PAUSE = 700; // ms without a key after which a picture counts as one to remember
  const person = crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2) + Date.now();
  const settings = { steps: null, seed: 1, strength: 0.5, reference: false };
  const rows = []; // what FeltPicture holds, in milliseconds
  const waits = []; // what KeyWait holds: one a key and contender, in milliseconds
  const pending = [[], []]; // of each seat: keys that no frame reflects yet
  const shown = [null, null]; // of each seat: what the picture on the screen was drawn from
  let reference = 0; // counts the references; a picture knows the one it began from
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
    if (!box().value.trim()) return clear();
    for (const figure of seats()) {
      const seat = Number(figure.dataset.seat);
      pending[seat].push({ key: keys, began });
      want({ figure, seat, key: keys, began, text: box().value });
    }
  }

  // No text, no picture: what is on its way for older text will find a newer key painted.
  function clear() {
    for (const figure of seats()) {
      const seat = Number(figure.dataset.seat);
      painted[seat] = keys;
      pending[seat] = [];
      held[seat] = shown[seat] = null;
      figure.querySelector(".paper").replaceChildren();
      figure.querySelector(".note").dataset.cut = "";
      figure.querySelector(".save").disabled = true;
    }
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
    const asked = body(seat, text, key);
    const drawnFrom = { ...JSON.parse(asked), reference };
    try {
      response = await fetch("live/draw", { method: "POST", headers, body: asked });
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
    if (key < painted[seat]) return; // cleared, or overtaken, while it was decoded
    figure.querySelector(".paper").replaceChildren(image);
    shown[seat] = { ...drawnFrom, contender: about.contender };
    figure.querySelector(".save").disabled = false;
    await frame();
    reflect(seat, key, about.contender);
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

  // A frame shows the picture of `key`: every key up to it is reflected.
  function reflect(seat, key, contender) {
    const now = performance.now();
    for (const each of pending[seat].filter((p) => p.key <= key)) {
      waits.push({ contender, key: each.key, wait: now - each.began, replaced: each.key < key });
    }
    pending[seat] = pending[seat].filter((p) => p.key > key);
  }

  // Resolves after the next frame has been painted: a message posted inside the frame's callback comes after it.
  const frame = () => new Promise((done) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => { channel.port1.close(); done(); };
    channel.port2.postMessage(0);
  }));

  async function refuse(response, key) {
    let reply = {};
    try { reply = await response.json(); } catch { /* a proxy's page: the status says enough */ }
    if (reply.busy) return again(reply.error, key);
    say(reply.error ?? (reply.detail ? "The page sent something that cannot be read." : `Error ${response.status}`), true);
  }

  function again(text, key) {
    say(text, true);
    if (key !== keys) return;
    clearTimeout(retry);
    retry = setTimeout(() => ask(performance.now()), 3000);
  }

  const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
  const total = (row) => STAGES.reduce((sum, stage) => sum + row[stage], 0);

  // A table a contender: two contenders are two clocks.
  function show(about) {
    const names = seats().map((figure) => figure.querySelector("b").textContent)
      .filter((name) => rows.some((row) => row.contender === name));
    $("#clocks").replaceChildren(...names.map(clock));
    const others = about.people > 1 ? ` ${about.people} people share the device.` : "";
    const recent = waits.slice(-KEPT);
    const sorted = recent.map((w) => w.wait).sort((x, y) => x - y);
    const dropped = recent.filter((w) => w.replaced).length / recent.length;
    say(`From key to picture: half within ${at(sorted, 0.5).toFixed(0)} ms, 95% within ${at(sorted, 0.95).toFixed(0)} ms, ` +
      `of the last ${recent.length} keys; ${(100 * dropped).toFixed(0)}% were replaced by newer text before their own picture.${others}`);
  }

  function clock(name) {
    const recent = rows.filter((row) => row.contender === name).slice(-KEPT);
    const keyed = waits.filter((w) => w.contender === name).slice(-KEPT).map((w) => w.wait).sort((x, y) => x - y);
    const column = (pick) => recent.map(pick).sort((x, y) => x - y);
    const cells = [...STAGES.map((stage) => [stage, column((row) => row[stage])]), ["picture", column(total)], ["key", keyed]]
      .map(([stage, sorted]) => [stage, at(sorted, 0.5), at(sorted, 0.95), sorted.length]);
    const place = document.createElement("div");
    place.className = "clock";
    const bar = cells.slice(0, STAGES.length)
      .map((cell) => `<i data-stage="${cell[0]}" style="flex-grow:${Math.max(cell[1], 0).toFixed(2)}"></i>`).join("");
    const lines = cells.map(([stage, half, most, count]) =>
      `<tr data-stage="${stage}"><th scope="row">${stage}</th><td>${half.toFixed(0)}</td><td>${most.toFixed(0)}</td><td>${count}</td></tr>`).join("");
    place.innerHTML = `<div class="bar" role="img"></div><table><caption></caption><thead><tr><th scope="col">ms</th>` +
      `<th scope="col">p50</th><th scope="col">p95</th><th scope="col">N</th></tr></thead><tbody>${lines}</tbody></table>`;
    place.querySelector(".bar").innerHTML = bar;
    place.querySelector(".bar").setAttribute("aria-label", `Where the time of a picture of ${name} goes`);
    place.querySelector("caption").textContent = name;
    return place;
  }

  function remember(figure, seat, text, contender, address) {
    const known = { text, seed: settings.seed, contender };
    if (history.some((h) => h.text === text && h.seed === known.seed && h.contender === contender)) return;
    history.push(known);
    const entry = document.createElement("li");
    const item = document.createElement("button");
    item.type = "button";
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
    entry.append(item);
    $("#history").prepend(entry);
    while ($("#history").children.length > STRIP) {
      URL.revokeObjectURL($("#history").lastElementChild.querySelector("img").src);
      $("#history").lastElementChild.remove();
      history.shift();
    }
  }

  // Saves what is shown, drawn again from what it was drawn from, not from what the box holds by now.
  async function save(figure) {
    const seat = Number(figure.dataset.seat);
    const { reference: began, contender, ...asked } = shown[seat] ?? {};
    if (!contender) return;
    if (asked.strength !== null && began !== reference) return say("The picture it began from has been changed since: type, and save the new one.", true);
    const response = await fetch("live/draw", { method: "POST", headers, body: JSON.stringify({ ...asked, keep: true, key: keys }) });
    if (response.status !== 200) return refuse(response, -1);
    const about = JSON.parse(response.headers.get("X-Picture"));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    const words = asked.text.trim().toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 60);
    link.download = `${words || "picture"}_${about.contender}_seed-${asked.seed}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 5000);
  }

  async function refer(file) {
    settings.reference = false;
    reference += 1;
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
  addEventListener("pagehide", () => {
    fetch(`live/leave/${person}`, { method: "POST", headers, keepalive: true });
  });
  window.live = { set, rows, waits, person, ready: () => Boolean(box() && seats().length), keys: () => keys, pending: () => pending.map((keys) => keys.length), settings: () => ({ ...settings }), flying: () => [...flying] };
})();
