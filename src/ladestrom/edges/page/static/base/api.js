/**
 * Requests to the server that this page is from, with the visitor's key where there is one.
 *
 * The key is kept for this tab only (`sessionStorage`), and leaves it in a header only.
 */

import { keep, kept } from "./kept.js";

/** @typedef {Omit<RequestInit, "headers"> & {headers?: Record<string, string>}} More other headers, what ends the request */

const KEPT = "ladestrom.key";

/** An error that the server told (RFC 9457), or `unreachable` where it did not answer. */
export class ApiError extends Error {
  /**
   * @param {number} status HTTP status, 0 where there was no answer
   * @param {string} code
   * @param {string} detail
   * @param {number | null} retryAfterS
   */
  constructor(status, code, detail, retryAfterS = null) {
    super(detail);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.retryAfterS = retryAfterS;
  }
}

/** @returns {string} the visitor's key; empty where there is none */
export function key() {
  return kept("session", KEPT) ?? "";
}

/** The header that a key travels in. @param {string} text */
export const bearer = (text) => ({ authorization: `Bearer ${text}` });

/** Keeps another key, or none. Tells whoever listens for `ladestrom-key` on the window. @param {string} text */
export function setKey(text) {
  keep("session", KEPT, text || null);
  window.dispatchEvent(new CustomEvent("ladestrom-key"));
}

/**
 * The answer's JSON; null where it has no body.
 *
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 * @throws {ApiError}
 */
export async function request(method, path, body) {
  const response = await send(method, path, body);
  if (response.status === 204) return null;
  return response.json();
}

/**
 * The answer itself, for those who want its headers or bytes.
 *
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {More} [more]
 * @returns {Promise<Response>}
 * @throws {ApiError}
 */
export async function send(method, path, body, more) {
  const response = await ask(method, path, body === undefined ? undefined : JSON.stringify(body), more);
  if (!response.ok) throw await problem(response);
  return response;
}

/**
 * Whatever the server answers, refusals too.
 *
 * @param {string} method
 * @param {string} path
 * @param {string} [body] JSON
 * @param {More} [more]
 * @returns {Promise<Response>}
 * @throws {ApiError} there was no answer
 */
export async function ask(method, path, body, more = {}) {
  /** @type {Record<string, string>} */
  const headers = { accept: "application/json", ...(key() ? bearer(key()) : {}), ...more.headers };
  if (body !== undefined) headers["content-type"] = "application/json";
  try {
    return await fetch(path, { ...more, method, headers, body: body ?? null, credentials: "omit" });
  } catch (error) {
    if (more.signal?.aborted) throw error;
    throw new ApiError(0, "unreachable", String(error));
  }
}

/** @param {string} path */
export const get = (path) => request("GET", path);

/** @param {string} path @param {unknown} [body] */
export const post = (path, body) => request("POST", path, body);

/** @param {string} path */
export const del = (path) => request("DELETE", path);

/** What a refusal says. @param {Response} response @returns {Promise<ApiError>} */
export async function problem(response) {
  const retryAfter = Number(response.headers.get("retry-after") ?? NaN);
  const retryAfterS = Number.isFinite(retryAfter) ? retryAfter : null;
  try {
    const told = await response.json();
    return new ApiError(response.status, told.code ?? "http", told.detail ?? told.title ?? "", retryAfterS);
  } catch {
    return new ApiError(response.status, "http", response.statusText, retryAfterS);
  }
}
