/**
 * Commands for whoever is at the server's own machine, with what they have to be told to find its data.
 */

const PLAIN = /^[\w@%+=:,./-]+$/;
/** What a shell takes as it is. */

/** Options as they follow a command. @param {string[]} options as `/api/v2/setup` says them */
export const following = (options) => options.map((part) => ` ${quoted(part)}`).join("");

/** A word as a shell takes it. @param {string} text */
const quoted = (text) => (PLAIN.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
