// Size and arrangement: both pictures are always the same square, between the study's minimum and the images' own
// size. Where the window leaves less than the minimum the page scrolls; where it cannot, it asks for a larger window.

const GAP = 12; // CSS pixels between the pictures
const FINE = 1; // CSS pixels an edge may be out of the window and still count as seen
let geometry = { side: 0, arrangement: "beside", across: 2, fits: true };
let looked = null; // what the window has passed over since the pair is there: [top, bottom], pixels of the page

// How large a square the window leaves. room: width and height in CSS pixels that the pictures may take.
function arrange(room, withReference) {
  const { smallest, largest } = settings;
  const clamp = (side) => Math.floor(Math.min(side, largest));
  const besideWidth = clamp((room.width - GAP) / 2);
  const stackedWidth = clamp(room.width);
  const beside = Math.min(besideWidth, room.height);
  const stacked = Math.min(stackedWidth, (room.height - GAP) / 2);
  let result;
  if (Math.max(beside, stacked) >= smallest) {
    result = beside >= stacked ? { arrangement: "beside", side: beside } : { arrangement: "stacked", side: stacked };
  } else if (besideWidth >= smallest) result = { arrangement: "beside", side: smallest };
  else if (stackedWidth >= smallest) result = { arrangement: "stacked", side: smallest };
  else return { arrangement: "stacked", side: 0, across: 2, fits: false };
  result.across = 2;
  if (withReference && result.arrangement === "beside") {
    // The original stands between the two where that costs them little; else it opens by a tap.
    const three = Math.min(clamp((room.width - 2 * GAP) / 3), Math.max(room.height, smallest));
    if (three >= Math.max(smallest, 0.75 * result.side)) Object.assign(result, { side: three, across: 3 });
  }
  return { ...result, side: Math.floor(result.side), fits: true };
}

function layout() {
  if (!shown || host.dataset.stage !== "vote") return;
  const pair = part("pair");
  const withReference = Boolean(shown.reference);
  // First as if the original opened by a tap: its button takes part in the height.
  part("open-original").hidden = !withReference;
  pair.style.setProperty("--side", "0px");
  const style = getComputedStyle(ballot);
  const width = ballot.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const rest = ballot.scrollHeight - part("stage").offsetHeight;
  const button = withReference ? part("open-original").offsetHeight : 0;
  const before = geometry.side;
  geometry = arrange({ width, height: innerHeight - rest }, withReference);
  if (geometry.across === 3) geometry = arrange({ width, height: innerHeight - rest + button }, withReference);
  part("open-original").hidden = !withReference || geometry.across === 3;
  part("reference").hidden = !withReference || geometry.across !== 3;
  pair.style.setProperty("--side", `${geometry.side}px`);
  pair.style.setProperty("--gap", `${GAP}px`);
  pair.hidden = !geometry.fits;
  part("too-small").hidden = geometry.fits;
  part("answers").hidden = !geometry.fits;
  if (!geometry.fits) part("too-small").textContent = say("too_small");
  ballot.dataset.arrangement = geometry.arrangement;
  const names = geometry.arrangement === "stacked" ? ["picture_top", "picture_bottom"] : ["picture_left", "picture_right"];
  part("left").querySelector("img").alt = say(names[0]);
  part("right").querySelector("img").alt = say(names[1]);
  if (geometry.side !== before) looked = null;
  drawZoom();
  look();
}

// Notes what the window has passed over, and shows where there is more to see.
function look() {
  if (!shown) return;
  if (!geometry.fits) { part("cue").hidden = true; return; }
  const [top, bottom] = [scrollY, scrollY + innerHeight];
  // A jump further than the window is high (the End key) passes over nothing.
  const near = looked && top <= looked[1] + innerHeight && bottom >= looked[0] - innerHeight;
  if (loaded) looked = near ? [Math.min(looked[0], top), Math.max(looked[1], bottom)] : [top, bottom];
  const last = part("comment-row").hidden ? part("answers") : part("comment-row");
  const below = last.getBoundingClientRect().bottom > innerHeight + FINE;
  part("cue").hidden = !below;
  const seen = seenWhole();
  part("cue-text").textContent = say(seen ? "more_below" : "see_both");
  part("cue").classList.toggle("corner", seen); // both pictures were seen: it may not lie over them
  ballot.dataset.scrolls = document.documentElement.scrollHeight > innerHeight + 1 ? "yes" : "no";
  for (const button of part("answers").querySelectorAll("button")) {
    button.setAttribute("aria-disabled", String(!mayAnswer()));
  }
}

function seenWhole() {
  return looked !== null && ["left", "right"].every((side) => {
    const box = part(side).getBoundingClientRect();
    return box.top + scrollY >= looked[0] - FINE && box.bottom + scrollY <= looked[1] + FINE;
  });
}

const mayAnswer = () => Boolean(shown) && loaded && geometry.fits && seenWhole();

// How the pair is shown now, as it is stored with the vote.
function display() {
  return {
    viewport: [innerWidth, innerHeight],
    pixel_ratio: devicePixelRatio,
    side: geometry.side,
    orientation: innerWidth >= innerHeight ? "landscape" : "portrait",
    arrangement: geometry.arrangement,
    language: settings.language,
    prompt_language: shown.prompt_language ?? "",
    build: settings.build,
    zoomed: zoom.used,
    original_opened: zoom.originalOpened,
    away: Math.max(0, away) / 1000,
  };
}
