// Zoom, over both pictures at once, and the gestures on them: a tap zooms, a drag or a pinch moves, and only a
// long sideways swipe answers. A finger that moves up or down scrolls the page, whatever it touches.

const SWIPE = 0.4; // of a picture's side
const EDGE = 24; // CSS pixels from the window's edge, where browsers begin their own gestures
const zoom = { on: false, scale: 1, x: 0.5, y: 0.5, used: false, originalOpened: false };
const pointers = new Map(); // id -> where each pointer is, and was first
let moved = false; // since the first pointer went down
let pinch = null; // { distance, scale } when the second went down

// Scale at which one pixel of the image takes a whole number of the screen's: 100%, or more where that is no larger.
function nativeScale() {
  const whole = settings.native / devicePixelRatio / geometry.side;
  return whole * Math.max(1, Math.ceil(1.5 / whole));
}

function setZoom(on, at = null) {
  if (!shown || !loaded) return;
  if (on && at) Object.assign(zoom, at);
  if (on && !zoom.on) zoom.scale = nativeScale();
  Object.assign(zoom, { on, used: zoom.used || on });
  if (!on) Object.assign(zoom, { x: 0.5, y: 0.5 });
  part("zoom").setAttribute("aria-pressed", String(on));
  drawZoom();
  notice(on ? say("zoomed", { percent: Math.round((100 * zoom.scale * geometry.side * devicePixelRatio) / settings.native) }) : "");
}

function drawZoom() {
  const pair = part("pair");
  pair.classList.toggle("zoomed", zoom.on);
  const scale = zoom.on ? zoom.scale : 1;
  const half = 0.5 / scale;
  zoom.x = Math.min(Math.max(zoom.x, half), 1 - half);
  zoom.y = Math.min(Math.max(zoom.y, half), 1 - half);
  const shift = (centre) => geometry.side * (0.5 - centre * scale);
  const transform = zoom.on ? `translate(${shift(zoom.x)}px, ${shift(zoom.y)}px) scale(${scale})` : "";
  for (const image of pair.querySelectorAll("img")) image.style.transform = transform;
}

function moveZoom(dx, dy) { // in CSS pixels of the screen
  zoom.x -= dx / (geometry.side * zoom.scale);
  zoom.y -= dy / (geometry.side * zoom.scale);
  drawZoom();
}

function scaleZoom(factor) {
  zoom.scale = Math.min(Math.max(zoom.scale * factor, 1), 16);
  drawZoom();
}

// The point of the picture, 0 to 1 each way, under a point of the window.
function pointOf(figure, x, y) {
  const box = figure.getBoundingClientRect();
  return { x: (x - box.left) / box.width, y: (y - box.top) / box.height };
}

function distance() {
  const [one, other] = [...pointers.values()];
  return Math.hypot(one.x - other.x, one.y - other.y);
}

function dropSwipe() {
  for (const side of ["left", "right"]) {
    part(side).style.translate = "";
    part(side).classList.remove("picked");
  }
}

function swipeOf(pointer) {
  const across = pointer.x - pointer.startX;
  const down = pointer.y - pointer.startY;
  const inside = pointer.startX > EDGE && pointer.startX < innerWidth - EDGE;
  const deliberate = Math.abs(across) >= SWIPE * geometry.side && Math.abs(across) > 2.5 * Math.abs(down);
  return { across, down, answers: inside && deliberate };
}

function wireGestures() {
  const pair = part("pair");
  const figureOf = (event) => event.target.closest("figure[data-side]");
  pair.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    if (!pointers.size) moved = false;
    pointers.set(event.pointerId, {
      x: event.clientX, y: event.clientY, startX: event.clientX, startY: event.clientY,
      figure: figureOf(event), touch: event.pointerType !== "mouse",
    });
    if (pointers.size === 2) {
      dropSwipe();
      moved = true;
      if (!zoom.on) {
        setZoom(true);
        zoom.scale = 1;
      }
      pinch = { distance: distance(), scale: zoom.scale };
    }
  });
  addEventListener("pointermove", (event) => {
    const pointer = pointers.get(event.pointerId);
    if (!pointer) return;
    const [dx, dy] = [event.clientX - pointer.x, event.clientY - pointer.y];
    Object.assign(pointer, { x: event.clientX, y: event.clientY });
    if (Math.hypot(pointer.x - pointer.startX, pointer.y - pointer.startY) > 8) moved = true;
    if (pointers.size === 2 && pinch) {
      zoom.scale = Math.min(Math.max((pinch.scale * distance()) / pinch.distance, 1), 16);
      moveZoom(dx / 2, dy / 2);
    } else if (zoom.on) moveZoom(dx, dy);
    else if (pointer.touch && pointer.figure && moved && mayAnswer()) {
      const { across, down, answers } = swipeOf(pointer);
      if (Math.abs(across) > 2 * Math.abs(down)) {
        pointer.figure.style.translate = `${across}px 0`;
        pointer.figure.classList.toggle("picked", answers);
      }
    }
  });
  const ended = (event) => {
    const pointer = pointers.get(event.pointerId);
    if (!pointer) return;
    const swiped = event.type === "pointerup" && pointers.size === 1 && !zoom.on && pointer.touch && pointer.figure
      && swipeOf(pointer).answers;
    pointers.delete(event.pointerId);
    if (pointers.size < 2) pinch = null;
    if (zoom.on && !pointers.size && zoom.scale < 1.02) setZoom(false);
    dropSwipe();
    if (swiped) answer(pointer.figure.dataset.side);
  };
  addEventListener("pointerup", ended);
  addEventListener("pointercancel", ended);
  pair.addEventListener("click", (event) => {
    if (moved || event.detail > 1 || !event.target.closest("figure")) return;
    setZoom(!zoom.on, pointOf(event.target.closest("figure"), event.clientX, event.clientY));
  });
  pair.addEventListener("wheel", (event) => {
    if (!zoom.on) return;
    event.preventDefault();
    scaleZoom(event.deltaY < 0 ? 1.15 : 1 / 1.15);
  }, { passive: false });
  pair.addEventListener("dragstart", (event) => event.preventDefault());
}

// Keys while zoomed: arrows move, + and - scale. True where the key was one of them.
function zoomKey(key) {
  const step = 40;
  const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
  if (key in moves) moveZoom(...moves[key]);
  else if (key === "+" || key === "=") scaleZoom(1.25);
  else if (key === "-") scaleZoom(0.8);
  else return false;
  return true;
}
