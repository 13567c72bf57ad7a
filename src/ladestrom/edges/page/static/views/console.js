/** The view `console`. */

import { open } from "../base/shell.js";

await open("console");
