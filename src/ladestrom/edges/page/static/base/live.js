/**
 * Questions that are asked again and again while somebody looks.
 */

/**
 * Asks at once, and again after each pause for as long as the page is seen; one question at a time.
 *
 * @param {() => Promise<void>} ask
 * @param {number} everyMs
 * @param {(error: unknown) => void} failed told when `ask` throws; it is asked again all the same
 * @returns {{now: () => void, stop: () => void}} `now` asks without waiting for the pause's end
 */
export function poll(ask, everyMs, failed) {
  let timer = 0;
  let asking = false;
  let again = false;
  let stopped = false;

  async function turn() {
    clearTimeout(timer);
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    again = false;
    try {
      await ask();
    } catch (error) {
      if (!stopped) failed(error);
    }
    asking = false;
    if (stopped || document.hidden) return;
    if (again) void turn();
    else timer = setTimeout(turn, everyMs);
  }

  function seen() {
    if (document.hidden) clearTimeout(timer);
    else void turn();
  }

  document.addEventListener("visibilitychange", seen);
  void turn();
  return {
    now: () => void turn(),
    stop() {
      stopped = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    },
  };
}
