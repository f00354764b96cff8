// What the page does in the browser by itself, between two runs of the app. It needs nothing of
// Streamlit but the class that a container or widget has from its key.
(() => {
  if (window.patchboard) return;
  window.patchboard = true;

  const TEXTS = ["clean", "corrupted", "target", "foil"];
  const IDLE = 600; // milliseconds without a key, after which what was typed counts
  const field = (name) => document.querySelector(`.st-key-field_${name} :is(textarea, input)`);
  const isField = (element) => TEXTS.some((name) => field(name) === element);
  const isTyped = (element) => isField(element) || !!element?.closest?.(".st-key-set_text");

  // --- what is on the page is of the inputs shown, or shown as what it is -----------------------

  // A field holds no carriage return, and one of a single line no newline.
  const asTyped = (text, box) => text.replace(/\r\n?/g, "\n").replace(box.type === "text" ? /\n/g : "", "");

  const experimentIn = (selector) => {
    const element = document.querySelector(selector);
    return element && Object.fromEntries(new URLSearchParams(element.dataset.experiment));
  };

  const formerOf = (names) => {
    const typed = names.filter((name) => TEXTS.includes(name));
    const told = typed.map((name) => (name === "target" || name === "foil" ? name : "texts"));
    const listed = new Intl.ListFormat("en-GB").format(new Set(told));
    return `of your former ${listed || "question"}`;
  };

  const STEPPING = 1500; // milliseconds
  const baseOf = (experiment) => experiment.model.split("@")[0];
  let stepSince = 0;

  const holdAgainstInputs = () => {
    const asked = experimentIn(".pb-asked"), answered = experimentIn(".pb-answered");
    const differs = (name) => {
      const box = TEXTS.includes(name) && field(name);
      return box ? box.value !== asTyped(answered[name], box) : asked[name] !== answered[name];
    };
    const different = asked && answered ? Object.keys(asked).filter(differs) : [];
    // Another step of the same training is there in a moment: dimming for so long would flicker.
    const isStep = different.join() === "model" && baseOf(asked) === baseOf(answered);
    stepSince = isStep ? stepSince || performance.now() : 0;
    const isFormer = different.length > 0 && !(isStep && performance.now() - stepSince < STEPPING);
    document.documentElement.classList.toggle("pb-former", isFormer);
    document.documentElement.classList.toggle("pb-other-model", isFormer && !isStep && differs("model"));
    const says = document.querySelector(".pb-former-says"), what = formerOf(different);
    if (isFormer && says && says.textContent !== what) says.textContent = what;
    const files = document.querySelectorAll("[class*='st-key-answer_'] .stDownloadButton");
    files.forEach((file) => (file.inert = isFormer));
  };

  // --- no moment without a map ------------------------------------------------------------------

  // Streamlit takes a chart away before it draws the one that comes in its place; a picture of it
  // stands there meanwhile, for so long at most.
  const MEANWHILE = 3000; // milliseconds
  const PLACES = ".st-key-answer_map, [class*='st-key-keeps_']"; // each with one chart at a time
  const kept = new WeakMap(); // place -> the plot that is pictured, its picture, since when it is gone

  const keepTheMap = (place) => {
    if (!kept.has(place)) kept.set(place, {pictured: null, picture: null, goneAt: 0});
    const of = kept.get(place);
    const isComing = place.querySelector(".stPlotlyChart")
      || !document.querySelector("[data-test-script-state=notRunning]");
    const plots = place.querySelectorAll(".stPlotlyChart .js-plotly-plot");
    const plot = [...plots].find((one) => one.checkVisibility() && one.querySelector(".xaxislayer-above"));
    if (plot) {
      takeAway(of);
      of.goneAt = 0;
      if (plot !== of.pictured) setTimeout(takePicture, 200, plot, of);
      of.pictured = plot;
    } else if (of.picture) {
      of.goneAt ||= performance.now();
      if (!isComing || performance.now() - of.goneAt > MEANWHILE) takeAway(of);
      else if (!of.picture.isConnected) {
        place.append(of.picture);
        place.style.minHeight = `${of.picture.offsetHeight}px`;
      }
    }
  };

  const takeAway = ({picture}) => {
    if (picture?.parentElement) picture.parentElement.style.minHeight = "";
    picture?.remove();
  };

  const takePicture = (plot, of) => {
    if (plot !== of.pictured || !plot.checkVisibility()) return;
    of.picture = plot.querySelector(".svg-container").cloneNode(true);
    of.picture.classList.add("pb-picture");
    of.picture.inert = true;
    of.picture.querySelectorAll(".scatterlayer, .hoverlayer").forEach((layer) => layer.remove());
  };

  // --- the training is played: the next step, once this one has been drawn ----------------------

  const FRAME = 200; // milliseconds that a step stays at the least
  let playedAt = 0, playedFrom = "";

  const playOn = () => {
    const next = document.querySelector(".st-key-training_next button");
    const asked = experimentIn(".pb-asked"), answered = experimentIn(".pb-answered");
    const isDrawn = document.querySelector("[data-test-script-state=notRunning]")
      && asked?.model === answered?.model && document.querySelector(".js-plotly-plot");
    const waits = performance.now() - playedAt;
    if (!next || !isDrawn || waits < FRAME || (playedFrom === asked.model && waits < MEANWHILE)) return;
    playedAt = performance.now();
    playedFrom = asked.model;
    next.click();
  };
  setInterval(playOn, 10);

  // --- on a phone -------------------------------------------------------------------------------

  // Plotly takes the cell that a tap is on for the one of the tap before: it learns where a mouse is
  // while it moves, which no finger does before its tap.
  document.addEventListener("pointerdown", ({pointerType, target, clientX, clientY}) => {
    if (pointerType === "mouse" || !target.closest?.(".js-plotly-plot .nsewdrag")) return;
    target.dispatchEvent(new MouseEvent("mousemove", {clientX, clientY, bubbles: true}));
  }, true);

  // Of texts that are scrolled, a place where they differ is in sight.
  const AFTER = 60; // pixels of what comes after it
  const showDifference = (texts) => {
    const differs = texts.querySelector(".pb-differs");
    if (texts.dataset.shown || !differs || texts.scrollWidth <= texts.clientWidth) return;
    texts.dataset.shown = true;
    texts.scrollLeft = differs.offsetLeft + differs.offsetWidth + AFTER - texts.offsetLeft - texts.clientWidth;
  };

  // --- another task of a worksheet begins where it can be read ----------------------------------

  let task = null;
  const goToTheTask = () => {
    const now = document.querySelector(".pb-task[data-number]")?.dataset.number ?? null;
    if (task && now && now !== task) document.querySelector(".st-key-task").scrollIntoView();
    task = now;
  };

  const look = () => {
    holdAgainstInputs();
    goToTheTask();
    document.querySelectorAll(PLACES).forEach(keepTheMap);
    document.querySelectorAll(".pb-texts").forEach(showDifference);
    const page = document.querySelector(".stApp"); // for what lies over something else
    if (page) document.documentElement.style.setProperty("--pb-page", getComputedStyle(page).backgroundColor);
  };
  new MutationObserver(look).observe(document.body, {childList: true, subtree: true});
  document.addEventListener("input", look);
  setInterval(look, 300); // a field's text changes without a change of the page's tree

  // --- typing: Enter counts, and so does a pause ------------------------------------------------

  const apply = (box) =>
    box.dispatchEvent(new KeyboardEvent("keydown",
      {key: "Enter", code: "Enter", keyCode: 13, ctrlKey: true, bubbles: true, cancelable: true}));

  document.addEventListener("keydown", (event) => {
    const plain = !(event.shiftKey || event.ctrlKey || event.metaKey || event.altKey);
    if (event.key === "Enter" && plain && !event.isComposing && isField(event.target)) {
      event.preventDefault();
      event.stopPropagation();
      apply(event.target);
    }
  }, true);

  let pause;
  document.addEventListener("input", (event) => {
    if (!isTyped(event.target)) return;
    clearTimeout(pause);
    if (!event.isComposing) pause = setTimeout(apply, IDLE, event.target);
  });

  // In the report a new line is a new line; after a pause what was typed is kept.
  let written;
  document.addEventListener("input", (event) => {
    if (!event.target.closest?.(".st-key-report")) return;
    clearTimeout(written);
    if (!event.isComposing) written = setTimeout(apply, IDLE, event.target);
  });

  // --- a click is for what was pressed ----------------------------------------------------------

  // Leaving a field tells the app what was typed, which then draws the page anew: under a mouse that
  // is still pressed, whose click is lost then. So a press takes the focus from no field that holds
  // something untold; the release tells it, and what was pressed, or has come in its place, is
  // clicked a moment later, when that has been told.
  const PRESSED = "button, a, label, summary";
  const TOLD = 30; // milliseconds
  const STILL = 8; // pixels that a mouse moves in a click at the most
  let untold = null, pressed = null;

  document.addEventListener("input", ({target}) => {
    if (target.matches?.("textarea, input:is([type=text], [type=number]):not([role=combobox])")) untold = target;
  }, true);
  document.addEventListener("focusout", () => (untold = null), true);

  const looksLike = (element) => element.closest("[class*='st-key-']")?.className + element.outerHTML;
  const inPlaceOf = ({element, like}) => element.isConnected ? element
    : [...document.querySelectorAll(PRESSED)].find((other) => looksLike(other) === like);

  document.addEventListener("mousedown", (event) => {
    const elsewhere = event.button || event.ctrlKey || event.metaKey || event.shiftKey;
    const element = elsewhere ? null : event.target.closest?.(PRESSED);
    pressed = element && {element, like: looksLike(element), box: untold, at: event};
    if (pressed?.box) event.preventDefault();
  }, true);

  let releasedAt = -Infinity;
  document.addEventListener("mouseup", (event) => {
    const of = pressed;
    pressed = null;
    if (!of) return;
    const isOnIt = of.element.contains(event.target);
    const isStill = Math.hypot(event.x - of.at.x, event.y - of.at.y) < STILL;
    if (isOnIt ? !of.box : !isStill) return; // the browser's own click is right
    releasedAt = event.timeStamp;
    of.box?.blur();
    if (of.box && of.element.closest(".stDownloadButton")) clickAfterTheRun(of);
    else setTimeout(() => inPlaceOf(of)?.click(), TOLD);
  }, true);

  // A file is made of what the app knew at the end of its last run, so it waits for the end of the
  // one that takes over what was told; where nothing was untold, there is none.
  const BEGINS = 300; // milliseconds
  const clickAfterTheRun = (of) => {
    const since = performance.now();
    let ran = false;
    const timer = setInterval(() => {
      ran ||= runs();
      if (runs() || (!ran && performance.now() - since < BEGINS)) return;
      clearInterval(timer);
      inPlaceOf(of)?.click();
    }, 10);
  };
  document.addEventListener("click", (event) => {
    if (!event.isTrusted || !event.detail || event.timeStamp - releasedAt > 50) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);

  // --- no click that changes what a map shows is lost --------------------------------------------

  // Of two clicks that come within one run of the app it would see one. So what is clicked before the
  // map has answered the click before waits for it, each for a run of its own.
  const CHANGING = ".st-key-keeps_guess, .st-key-keeps_set_singles, .st-key-keeps_set_stream";
  const LOOKS = 500; // every 10 ms or more, without a run, after which a click has changed nothing
  const waiting = []; // functions that click
  let clicked = null; // where the last click was, the plot that was there, and how many looks since

  const runs = () => !document.querySelector("[data-test-script-state=notRunning]");
  const plotIn = (place) => [...document.querySelectorAll(`.${place} .js-plotly-plot`)]
    .find((plot) => plot.checkVisibility() && plot.querySelector(".nsewdrag"));
  const awaitAnswer = (place, plot) => (clicked = {place, plot, looks: 0});

  const clickOn = (place, across, down) => { // shares of the cells' width and height
    const plot = plotIn(place), cells = plot?.querySelector(".nsewdrag");
    awaitAnswer(place, plot);
    if (!cells) return;
    const {x, y, width, height} = cells.getBoundingClientRect();
    const at = {clientX: x + across * width, clientY: y + down * height, bubbles: true};
    ["mousemove", "mousedown", "mouseup"].forEach((kind) => cells.dispatchEvent(new MouseEvent(kind, at)));
  };

  const playBack = () => {
    if (!clicked) return;
    const plot = plotIn(clicked.place);
    if (runs()) clicked.looks = 0;
    else if ((plot && plot !== clicked.plot) || ++clicked.looks > LOOKS)
      waiting.length ? waiting.shift()() : (clicked = null);
  };
  setInterval(playBack, 10);

  // Plotly takes a click to be where it saw the mouse last, and looks at most every 50 ms.
  document.addEventListener("mousemove", (event) => {
    if (clicked && event.isTrusted && event.target.closest?.(CHANGING)) event.stopImmediatePropagation();
  }, true);

  for (const kind of ["touchstart", "mousedown", "click"]) document.addEventListener(kind, (event) => {
    const {target, clientX, clientY} = event;
    if (!event.isTrusted || event.button) return;
    const button = kind === "click" && waiting.length && target.closest?.(".stMain button");
    const map = kind !== "click" && !target.closest?.(".modebar") && target.closest?.(CHANGING);
    if (button) {
      const {place} = clicked, of = {element: button, like: looksLike(button)};
      waiting.push(() => {
        awaitAnswer(place, plotIn(place));
        inPlaceOf(of)?.click();
      });
    } else if (map) {
      const place = [...map.classList].find((name) => name.startsWith("st-key-"));
      if (!clicked && !runs()) return target.matches(".nsewdrag") && awaitAnswer(place, plotIn(place));
      if (!clicked) awaitAnswer(place, null);
      const cells = [...map.querySelectorAll(".nsewdrag")].find((one) => one.checkVisibility());
      if (kind === "mousedown" && cells) { // which are those of a picture, maybe
        const {x, y, width, height} = cells.getBoundingClientRect();
        waiting.push(() => clickOn(place, (clientX - x) / width, (clientY - y) / height));
      }
    }
    if (!button && !map) return;
    event.stopImmediatePropagation(); // of a tap the mouse's events follow
    if (kind !== "touchstart") event.preventDefault();
  }, true);

  // --- one click --------------------------------------------------------------------------------

  const fill = (box, text) => {
    const kind = box.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(box, text);
    box.dispatchEvent(new InputEvent("input", {bubbles: true}));
    requestAnimationFrame(() => apply(box));
  };

  const copy = async (text, button) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // which only a secure page may
      const box = document.body.appendChild(document.createElement("textarea"));
      box.value = text;
      box.select();
      document.execCommand("copy");
      box.remove();
    }
    const label = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1500);
  };

  // The address of a page of the app, with what stands in the fields at this moment.
  const withInputs = (page) => {
    const address = new URL(page, location.href);
    address.search = location.search;
    TEXTS.forEach((name) => field(name) && address.searchParams.set(name, field(name).value));
    if (address.pathname !== location.pathname)
      LOOK.forEach((name) => address.searchParams.delete(name));
    return address.href;
  };

  const LINKS = "header a, a[data-testid=stTopNavDropdownLink]"; // of the app's pages
  // Another tab opens at the link's own address, which Streamlit gives without the experiment.
  document.addEventListener("pointerdown", (event) => {
    const link = event.target.closest?.(LINKS);
    if (link && (event.button !== 0 || event.ctrlKey || event.metaKey)) link.href = withInputs(link.href);
  }, true);
  document.addEventListener("click", (event) => {
    const link = (event.ctrlKey || event.metaKey) && event.target.closest?.(LINKS);
    if (link) event.stopImmediatePropagation(); // which Streamlit would take for a plain click
  }, true);

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".pb-fill, .pb-copy");
    if (button?.matches(".pb-fill")) fill(field(button.dataset.field), JSON.parse(button.dataset.text));
    if (button?.matches(".pb-copy")) copy(withInputs(location.pathname), button);
  });

  // On a phone the list of examples covers what a person has just chosen to see.
  document.addEventListener("click", (event) => {
    if (innerWidth > 640 || !event.target.closest?.("[data-testid=stSidebar] .stButton")) return;
    document.querySelector("[data-testid=stSidebarCollapseButton] button")?.click();
  });

  // --- nothing typed is lost by a reload --------------------------------------------------------

  // What the app has not been told when the page goes is typed again by the page that comes.
  const LEFT = "patchboard-untold", LATEST = 10_000; // milliseconds
  const keyOf = (box) => [...(box.closest("[class*='st-key-']")?.classList ?? [])]
    .find((name) => name.startsWith("st-key-"));
  const boxesOf = (key) => document.querySelectorAll(`.${CSS.escape(key)} :is(textarea, input)`);

  addEventListener("beforeunload", () => {
    const key = untold && keyOf(untold);
    if (key && boxesOf(key).length === 1) sessionStorage.setItem(LEFT, JSON.stringify({key, text: untold.value}));
  });

  const typeAgain = () => {
    const left = sessionStorage.getItem(LEFT);
    sessionStorage.removeItem(LEFT);
    if (!left || performance.getEntriesByType("navigation")[0]?.type !== "reload") return;
    const {key, text} = JSON.parse(left);
    const timer = setInterval(() => {
      const [box] = boxesOf(key);
      if ((!box || runs()) && performance.now() < LATEST) return;
      clearInterval(timer);
      if (box && box.value !== text) fill(box, text);
    }, 50);
  };
  try {
    typeAgain();
  } catch { /* a browser that keeps nothing for pages */ }

  // --- going back -------------------------------------------------------------------------------

  // An address takes the place of the one before it, instead of coming after it, where that is the
  // same page without its experiment, the same experiment looked at otherwise, or what was typed
  // into one field a moment before.
  const LOOK = ["cell", "position", "view"];
  const experimentOf = (url) => {
    LOOK.forEach((name) => url.searchParams.delete(name));
    return url.searchParams.toString();
  };
  const push = history.pushState;
  let typedIn = null; // the field that has the focus, once an address came of it
  document.addEventListener("focusout", () => (typedIn = null));
  history.pushState = function (state, title, address) {
    const next = new URL(address ?? "", location.href), here = new URL(location.href);
    const samePage = next.pathname === here.pathname;
    const box = isTyped(document.activeElement) ? document.activeElement : null;
    const takesItsPlace = samePage &&
      (!here.search || experimentOf(next) === experimentOf(here) || (box && box === typedIn));
    if (samePage) typedIn = box;
    if (takesItsPlace) history.replaceState(state, title, address);
    else push.call(history, state, title, address);
  };
})();
