// Draws the page from top to bottom: texts first, charts as they come into sight.

showHeader();
showRecommended();
showChoices();
showNotes();
showFront();
showReruns();
showLimits();
startTable();
showWhy();
showProgress();
showEnded();
showPaper();
showAbout();
showNavigation();
byId("detail").addEventListener("click", (event) => { if (event.target === byId("detail")) byId("detail").close(); });
document.documentElement.dataset.ready = "yes";
