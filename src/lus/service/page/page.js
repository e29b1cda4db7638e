/** The page: takes a clip, asks the service, and shows the answer or why there is none. */

import { rendered } from "./card.js";
import { byId, make, percent } from "./dom.js";
import { findings, show } from "./result.js";
import { explained, modelFacts, Problem } from "./send.js";

/** In memory alone: a page that is loaded anew asks again. */
let key = "";
/** The clip that was given last, the label asked for (null: the most probable), and what ends the asking. */
let asked = null;
let version = "";

const HOPELESS = /^(image\/(?!gif|dicom)|application\/(pdf|zip)$|text\/(plain|html|csv)$)/;

/** Why a file need not be sent; "" where nothing speaks against it. */
function unfit(files) {
  if (files.length === 0) return "No file was given; choose a clip, or drop one.";
  if (files.length > 1) return `${files.length} files were given, one clip at a time is expected.`;
  const [file] = files;
  if (file.size === 0) return `${file.name} is empty, or a folder; choose a clip.`;
  if (HOPELESS.test(file.type)) return `${file.name} is of the kind ${file.type}, a video or DICOM file is expected.`;
  return "";
}

function take(files) {
  asked?.ends.abort();
  hide("work", "problem", "result");
  const why = unfit(files);
  asked = null;
  if (why) refuse("That is not a clip", why);
  else look(files[0], null);
}

/** Ask for an answer and show it; where a label is given, the answer shown before stays until the new one is there. */
async function look(clip, label) {
  asked?.ends.abort();
  const own = { clip, label, ends: new AbortController() };
  asked = own;
  hide("problem", ...(label === null ? ["result"] : []));
  byId("work").hidden = false;
  byId("result").setAttribute("aria-busy", "true");
  try {
    const answer = await explained(clip, label, key, own.ends.signal, (...news) => tell(clip, ...news));
    settle();
    show(answer, clip.name, (other) => look(clip, other));
    say(label === null ? "" : `Now ${label} is explained.`);
    document.title = `${answer.label} ${percent(answer.probabilities[answer.label])} – lus`;
    (label === null ? byId("result") : document.querySelector("#explain [aria-pressed=true]")).focus();
    // The service may have been given another version since.
    if (answer.model.version !== version) introduce();
  } catch (error) {
    // Another clip has taken its place.
    if (asked !== own) return;
    settle();
    if (error.name === "AbortError") refuse("Cancelled", `No answer to ${clip.name} is waited for any more.`, true);
    else if (!(error instanceof Problem)) throw error;
    else if (error.status === 401) askForKey(error.message);
    else refuse(titleOf(error), error.message, error.again, error.findings);
  }
}

const titleOf = (problem) => (problem.status === 422 ? "This clip is not usable" : "There is no answer");

function settle() {
  hide("work");
  byId("result").removeAttribute("aria-busy");
}

/** What is going on, for eyes and ears. */
function tell(clip, state, number, said, next) {
  const progress = byId("progress");
  byId("share").textContent = state === "sending" ? percent(number) : "";
  if (state === "sending") progress.value = number;
  else progress.removeAttribute("value");
  const size = clip.size < 1e6 ? `${Math.ceil(clip.size / 1e3)} kB` : `${(clip.size / 1e6).toFixed(1)} MB`;
  const sentences = {
    sending: `Sending ${clip.name} (${size}) …`,
    looking: `${clip.name} has arrived and is being looked at …`,
    receiving: "The answer is arriving …",
    waiting: `The service is busy (${said}); ${next} follows in ${number} s …`,
  };
  progress.setAttribute("aria-label", state === "sending" ? "Sent" : "Waiting");
  say(sentences[state]);
  document.title = `${state} … – lus`;
}

/** Tell screen readers too; the same sentence is said once. */
function say(sentence) {
  const status = byId("status");
  if (status.textContent !== sentence) status.textContent = sentence;
}

function refuse(title, sentence, again = false, found = []) {
  say("");
  byId("problem-title").textContent = title;
  byId("detail").textContent = sentence;
  findings(byId("problem-findings"), found);
  byId("retry").hidden = !again;
  byId("problem").hidden = false;
  byId("problem").focus();
  document.title = `${title} – lus`;
}

function askForKey(why) {
  say("");
  byId("key-why").textContent = why;
  byId("key-form").hidden = false;
  byId("key").value = "";
  byId("key").focus();
  document.title = "An API key is needed – lus";
}

/** Say what the model is, and show its card. */
async function introduce() {
  try {
    const facts = await modelFacts(key);
    version = facts.version;
    const does = `tells ${facts.labels.join(", ")} apart by ${facts.length} frames of a clip (${facts.feature_set})`;
    const traced = make("code", {}, `lus show ${facts.lineage}`);
    byId("model").replaceChildren(
      `${facts.name}, version ${facts.version}, ${does}.`,
      ...(facts.lineage ? [" ", traced, " (its lineage id) traces it back to data and code."] : []),
    );
    byId("card-text").replaceChildren(...rendered(facts.card || "This version has no card.", 3));
    byId("card").hidden = false;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    byId("model").textContent = `What the model is cannot be told now. ${error.message}`;
    if (error.status === 401 && byId("key-form").hidden) askForKey(error.message);
  }
}

function hide(...names) {
  for (const name of names) byId(name).hidden = true;
}

byId("file").addEventListener("change", (event) => event.target.files.length && take([...event.target.files]));
// So that the same file can be chosen again.
byId("file").addEventListener("click", (event) => (event.target.value = ""));
byId("cancel").addEventListener("click", () => asked.ends.abort());
byId("retry").addEventListener("click", () => look(asked.clip, asked.label));
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = byId("key").value.trim();
  hide("key-form");
  byId("file").focus();
  introduce();
  if (asked) look(asked.clip, asked.label);
});
// The whole page takes a clip, for a browser would leave the page and open one that is dropped beside the zone.
addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("zone").classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) byId("zone").classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  byId("zone").classList.remove("over");
  byId("file").value = "";
  take([...event.dataTransfer.files]);
});
introduce();
