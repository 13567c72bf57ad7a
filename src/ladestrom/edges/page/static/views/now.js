/** The view `now`. */

import { open } from "../base/shell.js";

await open("now");
