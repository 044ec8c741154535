// Requests to the service. An error carries the message that the service responded with.
class ApiError extends Error {
  constructor(status, text, candidates = []) {
    super(text);
    this.status = status;
    this.candidates = candidates; // what can be chosen, where the service asks for a choice
  }
}

const etags = new WeakMap(); // by response: with it the service knows whether something changed since

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The service does not answer.");
  }
  if (response.status === 304) return null;
  const body = await response.json().catch((error) => {
    if (response.ok) throw error;
    return {};
  });
  if (!response.ok) throw new ApiError(response.status, typeof body.detail === "string" ? body.detail : `The service answered with status ${response.status}.`, body.candidates);
  etags.set(body, response.headers.get("ETag"));
  return body;
}

export const getJson = (path, signal) => request(path, { signal });

// null where the service has nothing newer than `previous`
export const getIfChanged = (path, previous) => request(path, previous ? { headers: { "If-None-Match": etags.get(previous) } } : {});

export const post = (path, body, headers, signal) => request(path, { method: "POST", body, headers, signal });

// query parameters that choose among the particles of every view; empty: as it is saved for the sample
let filter = "";
export const chosenFilter = () => filter;
export const setFilter = (query) => (filter = query);
export const withFilter = (path) => (filter ? `${path}${path.includes("?") ? "&" : "?"}${filter}` : path);

export const sampleUrl = (sample, rest) => withFilter(`api/samples/${encodeURIComponent(sample)}/${rest}`);
