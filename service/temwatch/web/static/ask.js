// Questions to the service. A failure carries the sentence that the service answered with.
export class Failure extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function answerOf(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0, "The service does not answer.");
  }
  if (answer.ok) return answer.json();
  const body = await answer.json().catch(() => ({}));
  throw new Failure(answer.status, typeof body.detail === "string" ? body.detail : `The service answered ${answer.status}.`);
}

export const ask = (path, signal) => answerOf(path, { signal });

export const post = (path, body, headers, signal) => answerOf(path, { method: "POST", body, headers, signal });

export const of = (sample, rest) => `api/samples/${encodeURIComponent(sample)}/${rest}`;
