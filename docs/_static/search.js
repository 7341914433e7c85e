// Under each result searchtools.js shows some words of its page, which it fetches. A page that was opened as a file may
// fetch nothing: each result would be an error in the console and no words. So there they are not asked for.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
