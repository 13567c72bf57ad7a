/** The view `map`. */

import { open } from "../base/shell.js";

await open("map");
