/** The view `admin`. */

import { open } from "../base/shell.js";

await open("admin");
