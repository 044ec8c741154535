// Questions to the service. A failure carries the sentence that the service answered with.
export class Failure extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function parsed(answer) {
  const found = await answer.json();
  tags.set(found, answer.headers.get("ETag"));
  return found;
}

const tags = new WeakMap(); // of answers, by which the service knows whether there is a newer one

async function answerOf(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0, "The service does not answer.");
  }
  if (answer.status === 304) return null;
  if (answer.ok) return parsed(answer);
  const body = await answer.json().catch(() => ({}));
  throw new Failure(answer.status, typeof body.detail === "string" ? body.detail : `The service answered ${answer.status}.`);
}

export const ask = (path, signal) => answerOf(path, { signal });

// null where the service would say again what it said before
export const askAgain = (path, before) => answerOf(path, before ? { headers: { "If-None-Match": tags.get(before) } } : {});

export const post = (path, body, headers, signal) => answerOf(path, { method: "POST", body, headers, signal });

export const of = (sample, rest) => `api/samples/${encodeURIComponent(sample)}/${rest}`;
