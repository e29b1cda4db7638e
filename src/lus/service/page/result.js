/** Shows an answer: label, probabilities, the video with the heat, the chart, the checks, and what took how long. */

import { chart, legend, table } from "./chart.js";
import { byId, make, percent, tint } from "./dom.js";

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** What is shown at present: a redrawing for another width, and the address of the video. */
let redraw = () => {};
let address = "";

new ResizeObserver(() => redraw()).observe(byId("chart"));

/**
 * Show an answer.
 *
 * @param name of the clip's file.
 * @param explain called with a label that is to be explained instead.
 */
export function show(answer, name, explain) {
  const labels = Object.keys(answer.probabilities);
  const { model } = answer;
  byId("answer").textContent = `${answer.label}: ${percent(answer.probabilities[answer.label])}`;
  const looked = `${answer.frames.length} of its frames were looked at`;
  byId("of").textContent = `Version ${model.version} of ${model.name} says so of ${name}; ${looked}.`;
  bars(answer, labels);
  buttons(answer, labels, explain);
  const bright = `where the CNN saw what speaks for ${answer.explained} (Grad-CAM)`;
  byId("heat").textContent = `The frames that were looked at, one after the other. Bright: ${bright}.`;
  byId("table").replaceChildren(table(answer, labels));
  byId("checks").textContent = answer.findings.length
    ? "The clip passed; the checks report of it:"
    : "The clip passed all checks, and they report nothing of it.";
  findings(byId("findings"), answer.findings);
  const { read, decode, check, explain: answering } = answer.seconds;
  const reading = `${seconds(read)} to read the clip (${seconds(decode)} to decode and ${seconds(check)} to check it)`;
  byId("times").textContent = `${reading}, ${seconds(answering)} to answer and explain.`;
  byId("result").hidden = false;
  timeline(answer, labels);
}

const seconds = (value) => `${value.toFixed(2)} s`;

function bars(answer, labels) {
  const rows = labels.map((label, place) => {
    const bar = make("span", { class: `fill ${tint(place)}` });
    bar.style.width = `${100 * answer.probabilities[label]}%`;
    return make(
      "li",
      {},
      make("span", {}, label),
      make("span", { class: "number" }, percent(answer.probabilities[label])),
      make("span", { class: "track", "aria-hidden": "true" }, bar),
    );
  });
  byId("bars").replaceChildren(...rows);
}

function buttons(answer, labels, explain) {
  const made = labels.map((label) => {
    const pressed = String(label === answer.explained);
    const button = make("button", { type: "button", "aria-pressed": pressed }, `Explain ${label}`);
    button.addEventListener("click", () => explain(label));
    return button;
  });
  byId("explain").replaceChildren(...made);
}

/** The video, the chart and the slider, which show one frame together. */
function timeline(answer, labels) {
  const [video, slider] = [byId("overlay"), byId("frame")];
  const count = answer.frames.length;
  const bytes = Uint8Array.from(atob(answer.overlay.data), (one) => one.charCodeAt(0));
  URL.revokeObjectURL(address);
  address = URL.createObjectURL(new Blob([bytes], { type: answer.overlay.media_type }));
  let place = 0;
  let mark = () => {};
  const name = legend(byId("legend"), answer, labels);
  const turnTo = (next) => {
    place = next;
    mark(place);
    name(place);
    slider.value = place;
    const text = `frame ${answer.frames[place]} of the clip, importance ${answer.importance[place].toFixed(3)}`;
    byId("at").textContent = text;
    const shares = labels.map((label) => `${label} ${percent(answer.course[place][label])}`);
    slider.setAttribute("aria-valuetext", `${text}; ${shares.join(", ")}`);
  };
  const seek = (next) => {
    video.pause();
    // Into the middle of the frame's time.
    if (video.duration) video.currentTime = ((next + 0.5) / count) * video.duration;
    turnTo(next);
  };
  redraw = () => {
    mark = chart(byId("chart"), answer, labels, seek);
    mark(place);
  };
  slider.max = count - 1;
  slider.oninput = () => seek(Number(slider.value));
  const follow = () => {
    if (video.duration) turnTo(Math.min(count - 1, Math.floor((video.currentTime / video.duration) * count)));
    if (!video.paused) requestAnimationFrame(follow);
  };
  video.onplay = follow;
  video.onseeked = follow;
  video.src = address;
  redraw();
  turnTo(0);
  // Where a browser does not let it begin by itself, the controls begin it.
  if (!calm.matches) video.play().catch(() => {});
}

/** A list of what the checks found. */
export function findings(list, found) {
  const entries = found.map((one) => {
    const what = one.meaning ? `${one.meaning} is ${one.found}` : one.found;
    return make(
      "li",
      {},
      make("strong", {}, one.check.replaceAll("_", " ")),
      make(
        "dl",
        {},
        ...[["Found", what], ["Expected", one.expected], ["What to do", one.advice]].flatMap(([term, text]) => [
          make("dt", {}, term),
          make("dd", {}, text),
        ]),
      ),
    );
  });
  list.replaceChildren(...entries);
}
