// The engine's worker: the same module as the page's, without a page.
import init, { serve } from "./longhand-web.js";

await init();
serve();
