/** The view `consumers`. */

import { open } from "../base/shell.js";

await open("consumers");
