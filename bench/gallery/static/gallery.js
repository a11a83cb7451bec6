// The gallery: filters, sorts and pages a study's rows in the browser, and compares two images of one prompt.
// A row is one prompt and replicate. The local page and the published site use this script alike: the one fetches
// its data, the other has it in window.GALLERY_DATA.
window.gallery = (() => {
  const PRESENT = 1, BLACK = 2;
  const ROWS = 24;
  const POLL_MS = 5000;
  const query = {
    text: "", category: "", challenge: "", contenders: [], metric: "", low: null, high: null,
    order: "study", state: "all",
  };
  let data = null, root = null, rows = [], page = 0, columns = [], votes = new Map(), metrics = new Map();

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key in made && key !== "list") made[key] = value; else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  };
  const cell = (prompt, replicate, contender) =>
    (prompt * data.replicates + replicate) * data.contenders.length + contender;
  const digits = (value) => Number.isFinite(value) ? Number(value.toPrecision(4)).toString() : "–";

  const take = (document_) => {
    data = document_;
    data.state = new Uint8Array(bytes(data.state));
    data.version = new Uint32Array(bytes(data.version));
    metrics = new Map(data.metrics.map((m) => [m.name, { ...m, values: new Float32Array(bytes(m.values)) }]));
    data.searched = data.prompts.map(([id, text]) => `${id} ${text}`.toLowerCase());
    votes = new Map();
    for (const vote of data.votes) {
      const key = vote[0] * data.replicates + vote[1];
      if (!votes.has(key)) votes.set(key, []);
      votes.get(key).push(vote);
    }
  };

  const address = (base, name, prompt, replicate, version) =>
    `${base}/${encodeURIComponent(name)}/${encodeURIComponent(data.prompts[prompt][0])}-${replicate}.webp` +
    (version === undefined ? "" : `?v=${version.toString(16)}`);
  const source = (base, prompt, replicate, contender) =>
    address(base, data.contenders[contender], prompt, replicate, data.version[cell(prompt, replicate, contender)]);

  // ---- which rows, in which order -------------------------------------------------------------------------
  const metric = () => metrics.get(query.metric) || metrics.values().next().value;
  const shownVotes = (prompt, replicate) =>
    (votes.get(prompt * data.replicates + replicate) || [])
      .filter((v) => columns.includes(v[2]) && columns.includes(v[3]));

  const voteKey = (prompt, replicate, measure) => {
    let best = Infinity;
    for (const [, , a, b, first, second, ties] of shownVotes(prompt, replicate)) {
      const n = first + second + ties;
      if (!n) continue;
      const margin = (first - second) / (2 * (n + 2));  // the winner's share beyond one half, two votes added
      if (query.order === "clear") best = Math.min(best, -Math.abs(margin));
      else if (query.order === "close") best = Math.min(best, Math.abs(margin) - n * 1e-6);
      else if (measure) {
        const gap = measure.values[cell(prompt, replicate, a)] - measure.values[cell(prompt, replicate, b)];
        const against = margin * (measure.higher_is_better ? gap : -gap);
        if (against < 0) best = Math.min(best, against);
      }
    }
    return best;
  };

  const rowKey = (prompt, replicate) => {
    const states = columns.map((c) => data.state[cell(prompt, replicate, c)]);
    if (query.state === "complete" && states.includes(0)) return Infinity;
    if (query.state === "missing" && !states.includes(0)) return Infinity;
    if (query.state === "black" && !states.includes(BLACK)) return Infinity;
    if (query.state === "voted" && !shownVotes(prompt, replicate).length) return Infinity;
    const measure = metric();
    let mean = NaN, lowest = Infinity, highest = -Infinity;
    if (measure) {
      let sum = 0, n = 0;
      for (const c of columns) {
        const value = measure.values[cell(prompt, replicate, c)];
        if (Number.isNaN(value)) continue;
        sum += value; n += 1;
        lowest = Math.min(lowest, value); highest = Math.max(highest, value);
      }
      mean = sum / n;
    }
    if (query.low !== null && !(mean >= query.low)) return Infinity;
    if (query.high !== null && !(mean <= query.high)) return Infinity;
    if (query.order === "study") return 0;
    const sign = measure && !measure.higher_is_better ? -1 : 1;
    const key = { high: -sign * mean, low: sign * mean, spread: lowest - highest }[query.order];
    const final = key === undefined ? voteKey(prompt, replicate, measure) : key;
    return Number.isNaN(final) ? Infinity : final;
  };

  const select = () => {
    const chosen = query.contenders.map((name) => data.contenders.indexOf(name)).filter((i) => i >= 0);
    columns = chosen.length ? chosen.sort((a, b) => a - b) : data.contenders.map((_, i) => i);
    const words = query.text.toLowerCase().split(/\s+/).filter(Boolean);
    const selected = [];
    for (let prompt = 0; prompt < data.prompts.length; prompt++) {
      const [, , category, challenge] = data.prompts[prompt];
      if (query.category && category !== query.category) continue;
      if (query.challenge && challenge !== query.challenge) continue;
      if (!words.every((word) => data.searched[prompt].includes(word))) continue;
      for (let replicate = 0; replicate < data.replicates; replicate++) {
        const key = rowKey(prompt, replicate);
        if (key !== Infinity) selected.push([key, prompt, replicate]);
      }
    }
    selected.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
    rows = selected.map(([, prompt, replicate]) => [prompt, replicate]);
  };

  // ---- the page of rows -------------------------------------------------------------------------------------
  const figure = (prompt, replicate, contender) => {
    const state = data.state[cell(prompt, replicate, contender)];
    const name = data.contenders[contender];
    const values = [...metrics.values()]
      .map((m) => [m.label, m.values[cell(prompt, replicate, contender)]])
      .filter(([, value]) => !Number.isNaN(value))
      .map(([label, value]) => `${label} ${digits(value)}`).join(" · ");
    const caption = element("figcaption", {}, element("b", { textContent: name }));
    if (state === BLACK) caption.append(element("span", { className: "fault", textContent: " black" }));
    if (values) caption.append(element("small", { textContent: values }));
    if (!state) return element("figure", {}, element("div", { className: "none", textContent: "not there" }), caption);
    const image = element("img", {
      loading: "lazy", decoding: "async", alt: `${name}: ${data.prompts[prompt][1].slice(0, 120)}`,
      src: source(data.thumbnails, prompt, replicate, contender),
    });
    const button = element("button", { type: "button", title: "Compare" }, image);
    button.addEventListener("click", () => open(rows.findIndex(([p, r]) => p === prompt && r === replicate), contender));
    return element("figure", {}, button, caption);
  };

  const voteText = ([, , a, b, first, second, ties, bad]) =>
    `${data.contenders[a]} ${first} : ${second} ${data.contenders[b]}` +
    (ties ? `, ${ties} tie${ties === 1 ? "" : "s"}` : "") + (bad ? `, ${bad} both bad` : "");

  const section = ([prompt, replicate]) => {
    const [id, text, category, challenge] = data.prompts[prompt];
    const tags = [id, category, challenge, data.replicates > 1 ? `image ${replicate + 1}` : ""].filter(Boolean);
    const words = element("p", { className: "prompt", dir: "auto", textContent: text, title: text });
    words.addEventListener("click", () => words.classList.toggle("whole"));
    const cells = element("div", { className: "cells" });
    if (data.references) {
      cells.append(element("figure", {},
        element("img", { loading: "lazy", alt: "reference", src: address(data.thumbnails, "_reference", prompt, 0) }),
        element("figcaption", {}, element("b", { textContent: "reference" }))));
    }
    cells.append(...columns.map((c) => figure(prompt, replicate, c)));
    const made = element("section", { className: "row" }, words,
      element("p", { className: "tags", textContent: tags.join(" · ") }), cells);
    const counted = shownVotes(prompt, replicate);
    if (counted.length) {
      const whose = data.simulated_votes ? "Simulated votes: " : "Votes: ";
      made.append(element("p", { className: "votes", textContent: whose + counted.map(voteText).join("; ") }));
    }
    return made;
  };

  const pager = () => {
    const pages = Math.max(1, Math.ceil(rows.length / ROWS));
    page = Math.min(page, pages - 1);
    const last = Math.min(rows.length, (page + 1) * ROWS);
    const count = rows.length
      ? `Prompts ${page * ROWS + 1}–${last} of ${rows.length.toLocaleString("en")}` : "No prompt matches";
    const there = data.state.reduce((sum, state) => sum + (state > 0), 0);
    const turn = (label, to, off) => {
      const button = element("button", { type: "button", textContent: label, disabled: off });
      button.addEventListener("click", () => { page = to; draw(); root.scrollIntoView(); });
      return button;
    };
    return element("nav", { className: "pager" },
      turn("First", 0, page === 0), turn("← Previous", page - 1, page === 0),
      element("span", { className: "count", textContent: count }),
      turn("Next →", page + 1, page >= pages - 1), turn("Last", pages - 1, page >= pages - 1),
      element("span", { className: "total", textContent:
        `${there.toLocaleString("en")} of ${data.state.length.toLocaleString("en")} images` }));
  };

  const draw = () => {
    const shown = rows.slice(page * ROWS, (page + 1) * ROWS);
    const height = scrollY;
    root.style.setProperty("--columns", columns.length + (data.references ? 1 : 0));
    root.replaceChildren(pager(), ...shown.map(section), ...(shown.length ? [pager()] : []));
    if (scrollY !== height) scrollTo(scrollX, height);
    root.dataset.ready = String(Number(root.dataset.ready || 0) + 1);
  };

  // ---- two images of one prompt -----------------------------------------------------------------------------
  let dialog = null, at = 0, pair = [0, 0], view = { zoom: 1, x: 0, y: 0, split: 50 };

  const present = ([prompt, replicate]) => columns.filter((c) => data.state[cell(prompt, replicate, c)]);
  const open = (row, contender) => {
    at = row;
    const others = present(rows[at]).filter((c) => c !== contender);
    pair = [contender, others.includes(pair[1]) ? pair[1] : others[0] ?? contender];
    view = { zoom: 1, x: 0, y: 0, split: 50 };
    if (!dialog) build();
    fill();
    if (!dialog.open) dialog.showModal();
  };

  const build = () => {
    dialog = element("dialog", { className: "compare", ariaLabel: "Compare two images" });
    dialog.innerHTML = `<div class="bar"><p class="prompt" dir="auto"></p>
<span class="keys"><button type="button" data-step="-1" aria-label="Previous prompt">←</button><button type="button"
data-step="1" aria-label="Next prompt">→</button><button type="button" data-close>Close</button></span></div>
<div class="bar"><select aria-label="Left image"></select><span class="keys"><button type="button" data-zoom="0.8"
aria-label="Zoom out">−</button><output></output><button type="button" data-zoom="1.25" aria-label="Zoom in">+</button>
<button type="button" data-pixels>100%</button><button type="button" data-fit>Fit</button></span><select
aria-label="Right image"></select></div>
<div class="stage"><img class="below" alt="" draggable="false"><img class="above" alt="" draggable="false"><div
class="divider"></div></div>
<input type="range" min="0" max="100" step="0.5" aria-label="Divider between the two images">
<p class="votes"></p><table class="values"></table>`;
    document.body.append(dialog);
    const [left, right] = dialog.querySelectorAll("select");
    left.addEventListener("change", () => { pair[0] = Number(left.value); fill(); });
    right.addEventListener("change", () => { pair[1] = Number(right.value); fill(); });
    const range = dialog.querySelector("input");
    range.addEventListener("input", () => { view.split = Number(range.value); place(); });
    dialog.querySelectorAll("[data-step]").forEach((button) =>
      button.addEventListener("click", () => step(Number(button.dataset.step))));
    dialog.querySelectorAll("[data-zoom]").forEach((button) =>
      button.addEventListener("click", () => zoom(Number(button.dataset.zoom))));
    dialog.querySelector("[data-pixels]").addEventListener("click", () => {
      const image = dialog.querySelector(".below"), stage = dialog.querySelector(".stage");
      zoom(image.naturalWidth / devicePixelRatio / stage.clientWidth / view.zoom);
    });
    dialog.querySelector("[data-fit]").addEventListener("click", () => { Object.assign(view, { zoom: 1, x: 0, y: 0 }); place(); });
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    dialog.addEventListener("keydown", (event) => {
      if (["SELECT", "INPUT"].includes(event.target.tagName)) return;
      if (event.key === "ArrowLeft") step(-1);
      if (event.key === "ArrowRight") step(1);
      if (event.key === "+" || event.key === "=") zoom(1.25);
      if (event.key === "-") zoom(0.8);
    });
    pointers(dialog.querySelector(".stage"));
  };

  // A drag pans where the images are enlarged, and moves the divider where they are not or where it starts on it.
  const pointers = (stage) => {
    const down = new Map();
    let mode = "", distance = 0;
    const spread = () => { const [a, b] = [...down.values()]; return Math.hypot(a.x - b.x, a.y - b.y); };
    stage.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event); },
      { passive: false });
    stage.addEventListener("pointerdown", (event) => {
      stage.setPointerCapture(event.pointerId);
      down.set(event.pointerId, { x: event.clientX, y: event.clientY });
      const box = stage.getBoundingClientRect();
      const near = Math.abs(event.clientX - box.left - box.width * view.split / 100) < 24;
      mode = down.size > 1 ? "pinch" : view.zoom === 1 || near ? "divide" : "pan";
      if (mode === "pinch") distance = spread();
      if (mode === "divide") divide(event, box);
    });
    stage.addEventListener("pointermove", (event) => {
      const last = down.get(event.pointerId);
      if (!last) return;
      down.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (mode === "divide") divide(event, stage.getBoundingClientRect());
      if (mode === "pan") { view.x += event.clientX - last.x; view.y += event.clientY - last.y; place(); }
      if (mode === "pinch" && down.size === 2) { const now = spread(); zoom(now / distance); distance = now; }
    });
    const up = (event) => { down.delete(event.pointerId); };
    stage.addEventListener("pointerup", up);
    stage.addEventListener("pointercancel", up);
  };
  const divide = (event, box) => {
    view.split = Math.min(100, Math.max(0, 100 * (event.clientX - box.left) / box.width));
    place();
  };
  const zoom = (factor, event) => {
    const stage = dialog.querySelector(".stage"), box = stage.getBoundingClientRect();
    const to = Math.min(32, Math.max(1, view.zoom * factor)), by = to / view.zoom;
    const x = event ? event.clientX - box.left : box.width / 2, y = event ? event.clientY - box.top : box.height / 2;
    view.x = x - by * (x - view.x); view.y = y - by * (y - view.y); view.zoom = to;
    place();
  };
  const place = () => {
    const stage = dialog.querySelector(".stage"), side = stage.clientWidth, high = stage.clientHeight;
    view.x = Math.min(0, Math.max(side * (1 - view.zoom), view.x));
    view.y = Math.min(0, Math.max(high * (1 - view.zoom), view.y));
    for (const image of dialog.querySelectorAll(".stage img")) {
      image.style.transform = `translate(${view.x}px,${view.y}px) scale(${view.zoom})`;
      image.style.imageRendering = image.naturalWidth && side * view.zoom > 2 * image.naturalWidth ? "pixelated" : "auto";
    }
    const edge = (side * view.split / 100 - view.x) / view.zoom;
    dialog.querySelector(".below").style.clipPath = `inset(0 ${Math.max(0, side - edge)}px 0 0)`;
    dialog.querySelector(".above").style.clipPath = `inset(0 0 0 ${Math.max(0, edge)}px)`;
    dialog.querySelector(".divider").style.left = `${view.split}%`;
    dialog.querySelector("input").value = view.split;
    dialog.querySelector("output").textContent = `${Math.round(100 * view.zoom)}%`;
  };

  const fill = () => {
    const [prompt, replicate] = rows[at];
    const there = present(rows[at]);
    dialog.querySelector(".prompt").textContent = data.prompts[prompt][1];
    [...dialog.querySelectorAll("select")].forEach((select, side) => {
      select.replaceChildren(...there.map((c) => new Option(data.contenders[c], c)));
      if (!there.includes(pair[side])) pair[side] = there[side] ?? there[0];
      select.value = pair[side];
    });
    [".below", ".above"].forEach((which, side) => {
      const image = dialog.querySelector(which);
      image.alt = data.contenders[pair[side]];
      image.onload = place;
      image.src = source(data.images, prompt, replicate, pair[side]);
    });
    const [a, b] = [Math.min(...pair), Math.max(...pair)];
    const vote = shownVotes(prompt, replicate).find((v) => v[2] === a && v[3] === b);
    dialog.querySelector(".votes").textContent = vote
      ? `${data.simulated_votes ? "Simulated votes" : "Votes"} on this pair: ${voteText(vote)}` : "No votes on this pair";
    dialog.querySelector(".values").replaceChildren(...[...metrics.values()].flatMap((m) => {
      const values = pair.map((c) => m.values[cell(prompt, replicate, c)]);
      if (values.every(Number.isNaN)) return [];
      const better = m.higher_is_better ? Math.max(...values) : Math.min(...values);
      return [element("tr", {}, element("th", { textContent: `${m.label} ${m.higher_is_better ? "↑" : "↓"}` }),
        ...values.map((value) => element("td", { textContent: digits(value), className: value === better ? "better" : "" })))];
    }));
    place();
  };
  const step = (by) => { at = (at + by + rows.length) % rows.length; fill(); };

  // ---- data and controls ------------------------------------------------------------------------------------
  const set = (name, value) => {
    const number = (text) => text === null || text === "" || Number.isNaN(Number(text)) ? null : Number(text);
    query[name] = name === "low" || name === "high" ? number(value)
      : name === "contenders" ? value || [] : value ?? "";
    page = 0;
    if (!data) return;
    select();
    draw();
  };
  const load = async (where) => {
    const answer = await fetch(where);
    take(await answer.json());
    select();
    draw();
  };
  const follow = async (where, stateAddress) => {
    let revision = null;
    for (;;) {
      try {
        const now = (await (await fetch(stateAddress)).json()).revision;
        if (now !== revision && !(dialog && dialog.open)) { revision = now; await load(where); }
      } catch { /* the server ended, or is starting anew */ }
      await new Promise((wake) => setTimeout(wake, POLL_MS));
    }
  };
  const start = () => {
    root = document.getElementById("rows");
    if (!root) { setTimeout(start, 50); return; }
    for (const control of document.querySelectorAll("[data-query]")) {
      control.addEventListener("input", () => set(control.dataset.query,
        control.multiple ? [...control.selectedOptions].map((option) => option.value) : control.value));
    }
    if (window.GALLERY_DATA) { take(window.GALLERY_DATA); select(); draw(); }
    else follow("gallery/data.json", "gallery/state");
  };
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
  return { set, order: () => rows.map(([p, r]) => [data.prompts[p][0], r]), about: () => data };
})();
