/** Asks the service, over networks and of services as they are. */

const TRIES = 6;
const LONGEST_WAIT = 60;
/** Longer than the service takes by itself before it gives up. */
const TIMEOUT = 330_000;

/** Why there is no answer. `again`: whether the same clip may be answered if it is sent once more. */
export class Problem extends Error {
  constructor(status, body = {}, wait = 0) {
    super(body.detail || sentence(status));
    this.status = status;
    this.findings = body.findings || [];
    this.wait = wait;
    this.again = status === 0 || status === 408 || status >= 500;
  }
}

function sentence(status) {
  if (status) return `The service answered with status ${status} and no explanation.`;
  if (!navigator.onLine) return "This device has no network; connect it and send the clip again.";
  return "The connection to the service was lost; send the clip again when it is back.";
}

/**
 * Have a clip classified and explained.
 *
 * @param clip a File, which is sent without its name.
 * @param label that is explained; null: the most probable one.
 * @param key the API key, or "".
 * @param signal ends it: an AbortError is thrown.
 * @param tell called with what is going on: `sending` with a share, `looking`, `receiving`, `waiting` with seconds,
 *   what the service said, and which try comes then.
 * @throws Problem
 */
export async function explained(clip, label, key, signal, tell) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await ask(clip, label, key, signal, tell);
    } catch (problem) {
      if (problem.status !== 503 || !problem.wait || tried === TRIES) throw problem;
      const seconds = Math.min(problem.wait, LONGEST_WAIT);
      tell("waiting", seconds, problem.message, `try ${tried + 1} of ${TRIES}`);
      await pause(seconds, signal);
    }
  }
}

/** What the model is. */
export async function modelFacts(key) {
  let response;
  try {
    response = await fetch("model", { headers: authorisation(key) });
  } catch {
    throw new Problem(0);
  }
  const body = parsed(await response.text());
  if (!response.ok || !body) throw new Problem(response.status, body || {});
  return body;
}

function ask(clip, label, key, signal, tell) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    form.append("clip", clip, "clip");
    const request = new XMLHttpRequest();
    request.open("POST", label === null ? "explain" : `explain?label=${encodeURIComponent(label)}`);
    for (const [name, value] of Object.entries(authorisation(key))) request.setRequestHeader(name, value);
    request.timeout = TIMEOUT;
    const abort = () => request.abort();
    signal.addEventListener("abort", abort);
    request.upload.onprogress = (event) => tell("sending", event.loaded / event.total);
    request.upload.onload = () => tell("looking");
    request.onprogress = () => tell("receiving");
    request.onload = () => {
      const body = parsed(request.responseText);
      if (request.status === 200 && body) resolve(body);
      else reject(new Problem(request.status, body || {}, Number(request.getResponseHeader("Retry-After")) || 0));
    };
    request.onerror = () => reject(new Problem(0));
    const late = "The service did not answer in time; send the clip again.";
    request.ontimeout = () => reject(new Problem(0, { detail: late }));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    request.onloadend = () => signal.removeEventListener("abort", abort);
    tell("sending", 0);
    request.send(form);
  });
}

const authorisation = (key) => (key ? { Authorization: `Bearer ${key}` } : {});

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const end = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(end);
      reject(new DOMException("cancelled", "AbortError"));
    });
  });
}
