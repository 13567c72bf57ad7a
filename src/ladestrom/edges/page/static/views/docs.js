/** The view `docs`. */

import { open } from "../base/shell.js";

await open("docs");
