// Asking the API.

export const API = "/api/cost-management/v1";
const PATIENCE_MILLISECONDS = 20_000;

export async function ask(path) {
  let answer;
  try {
    // Reports may be kept for an hour by others; who watches uploads arrive wants them as they are now.
    answer = await fetch(API + path, {
      headers: { Accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MILLISECONDS),
    });
  } catch (error) {
    throw new Error(error.name === "TimeoutError" ? "it takes too long to answer" : "nothing answers at this address");
  }
  if (answer.ok) return answer.json();
  const body = await answer.json().catch(() => ({}));
  throw new Error(body.errors?.[0]?.detail ?? `it answered ${answer.status}`);
}
