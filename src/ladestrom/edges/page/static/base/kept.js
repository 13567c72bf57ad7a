/**
 * What a browser keeps for a visitor; where it keeps nothing, what this page remembers until it is left.
 */

/** @typedef {"local" | "session"} Where `session`: for this tab only */

/** @type {Map<string, string>} */
const REMEMBERED = new Map();

/** @param {Where} where @returns {Storage | null} */
function storage(where) {
  try {
    // Merely to ask for it is refused where a browser blocks it.
    return where === "local" ? window.localStorage : window.sessionStorage;
  } catch {
    return null;
  }
}

/** @param {Where} where @param {string} name @returns {string | null} */
export function kept(where, name) {
  try {
    return storage(where)?.getItem(name) ?? REMEMBERED.get(name) ?? null;
  } catch {
    return REMEMBERED.get(name) ?? null;
  }
}

/** Keeps a text under a name; null removes it. @param {Where} where @param {string} name @param {string | null} text */
export function keep(where, name, text) {
  if (text === null) REMEMBERED.delete(name);
  else REMEMBERED.set(name, text);
  try {
    if (text === null) storage(where)?.removeItem(name);
    else storage(where)?.setItem(name, text);
  } catch {
    // It is full or blocked; what is remembered is enough until the page is left.
  }
}
