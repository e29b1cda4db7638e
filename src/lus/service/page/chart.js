/** Draws the probabilities over time and the frames' importance, with a marker at one frame. */

import { draw, make, percent, tint } from "./dom.js";

const LEFT = 44;
const RIGHT = 12;
const COURSE = { top: 10, height: 170 };
const IMPORTANCE = { top: 206, height: 70 };
const HEIGHT = 306;

/**
 * Fill an element with the chart, for its width.
 *
 * @param choose called with the place of a frame that is clicked on.
 * @returns a function that moves the marker to a frame.
 */
export function chart(element, answer, labels, choose) {
  const width = Math.max(240, element.clientWidth);
  const band = (width - LEFT - RIGHT) / answer.frames.length;
  const middle = (place) => LEFT + (place + 0.5) * band;
  const marked = { y: COURSE.top, width: Math.max(3, band), height: HEIGHT - COURSE.top - 26 };
  const marker = draw("rect", { class: "marker", ...marked });
  const about = `Probabilities of ${labels.join(", ")}, and the frames' importance; the table below has the numbers`;
  const picture = draw(
    "svg",
    { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": about },
    marker,
    ...grid(width),
    ...labels.map((label, place) => line(answer.course.map((one) => one[label]), middle, place)),
    ...bars(answer.importance, middle, band, width),
    ...ticks(answer.frames, middle, width),
  );
  picture.addEventListener("click", (event) => {
    const at = event.clientX - picture.getBoundingClientRect().left;
    choose(Math.min(answer.frames.length - 1, Math.max(0, Math.floor((at - LEFT) / band))));
  });
  element.replaceChildren(picture);
  return (place) => marker.setAttribute("x", middle(place) - Math.max(3, band) / 2);
}

const height = (share) => COURSE.top + COURSE.height * (1 - share);

function grid(width) {
  return [0, 0.5, 1].flatMap((share) => [
    draw("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: height(share), y2: height(share) }),
    draw("text", { x: LEFT - 6, y: height(share) + 4, "text-anchor": "end" }, `${100 * share} %`),
  ]);
}

function line(shares, middle, place) {
  const points = shares.map((share, frame) => `${middle(frame)},${height(share)}`).join(" ");
  return draw("polyline", { class: `line ${tint(place)}`, points });
}

/** One bar for each frame, on one scale up and down from nothing. */
function bars(importance, middle, band, width) {
  const greatest = Math.max(...importance.map(Math.abs));
  const zero = IMPORTANCE.top + IMPORTANCE.height / 2;
  const drawn = importance.map((value, frame) => {
    const size = greatest > 0 ? (Math.abs(value) / greatest) * (IMPORTANCE.height / 2) : 0;
    const y = value > 0 ? zero - size : zero;
    const bar = { x: middle(frame) - band * 0.35, y, width: band * 0.7, height: size };
    return draw("rect", { class: value < 0 ? "bar against" : "bar", ...bar });
  });
  const end = greatest > 0 ? greatest.toFixed(greatest < 0.1 ? 3 : 2) : "";
  return [
    ...drawn,
    draw("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: zero, y2: zero }),
    draw("text", { x: LEFT - 6, y: zero + 4, "text-anchor": "end" }, "0"),
    draw("text", { x: LEFT - 6, y: IMPORTANCE.top + 6, "text-anchor": "end" }, end),
  ];
}

function ticks(frames, middle, width) {
  const places = [...new Set([0, Math.floor((frames.length - 1) / 2), frames.length - 1])];
  const named = places.map((place) =>
    draw("text", { x: middle(place), y: HEIGHT - 8, "text-anchor": "middle" }, String(frames[place])),
  );
  // Where there is room between the numbers.
  const x = LEFT + (width - LEFT - RIGHT) * 0.75;
  return [...named, draw("text", { x, y: HEIGHT - 8, "text-anchor": "middle" }, "frame")];
}

/** The names of the lines, each with a piece of it and the probability at the marker. */
export function legend(element, answer, labels) {
  const shown = labels.map((label, place) => {
    const piece = draw("svg", { width: 34, height: 10, "aria-hidden": "true" });
    piece.append(draw("polyline", { class: `line ${tint(place)}`, points: "1,5 33,5" }));
    const value = make("span");
    return { entry: make("li", {}, piece, ` ${label} `, value), value, label };
  });
  element.replaceChildren(...shown.map((one) => one.entry));
  return (place) => {
    for (const one of shown) one.value.textContent = percent(answer.course[place][one.label]);
  };
}

/** The chart's numbers. */
export function table(answer, labels) {
  const heads = ["frame", ...labels, "importance"].map((one) => make("th", { scope: "col" }, one));
  const rows = answer.frames.map((frame, place) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, String(frame)),
      ...labels.map((label) => make("td", {}, percent(answer.course[place][label]))),
      make("td", {}, answer.importance[place].toFixed(3)),
    ),
  );
  const caption = make("caption", {}, `Importance is for ${answer.explained}.`);
  return make("table", {}, caption, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
}
