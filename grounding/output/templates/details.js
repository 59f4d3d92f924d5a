// What there is to read about one word. Text enters only as text nodes, never as markup.

const signed = (value) => (value === null ? "–" : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`);

function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function section(title, ...children) {
  return element("section", "", element("h2", "", title), ...children);
}

// A bar is as long as its probability is beside the largest one shown for this word.
function meterRow(label, probability, largest, own = false) {
  const filling = element("span");
  filling.style.width = `${(100 * probability) / largest}%`;
  return [
    element("span", own ? "own" : "", label),
    element("span", "meter", filling),
    element("span", "number", percent(probability)),
  ];
}

function likelihood(word, largest) {
  const probability = (nats) => (nats === null ? 0 : Math.exp(nats));
  const rows = [
    ...(word.language === null ? [] : meterRow("with an average photo", probability(word.language), largest)),
    ...meterRow("with this photo", probability(word.logprob), largest, true),
  ];
  const nats = word.language === null ? `log p ${signed(word.logprob)} nats` : `log p ${signed(word.logprob)} = visual ${signed(word.visual)} + language ${signed(word.language)} nats`;
  return section(`How likely is “${word.text}” here?`, element("div", "rows", ...rows), element("p", "nats", nats));
}

function runnersUp(word, largest) {
  const rows = word.runnersUp.flatMap(([text, probability]) => meterRow(text, probability ?? 0, largest));
  return section("Also likely here", element("div", "rows", ...rows));
}

// Several measures of the words before, one a column.
function measuresBefore(word, words) {
  const columns = [["exact", word.preceding], ...word.precedingBy];
  const head = element("tr", "", element("th"), ...columns.map(([name]) => element("th", "", name)));
  head.querySelectorAll("th").forEach((cell) => cell.setAttribute("scope", "col"));
  const rows = word.preceding.map((_, index) => element("tr", "",
    element("td", "", words[index].text),
    ...columns.map(([, values]) => element("td", values[index] < 0 ? "against" : "for", signed(values[index]))),
  ));
  return section("The words before, for (+) or against (−) it", element("table", "table", head, ...rows));
}

function wordsBefore(word, words) {
  if (word.precedingBy.length) return measuresBefore(word, words);
  const items = word.preceding.map((relevance, index) => {
    const text = element("span", relevance < 0 ? "against" : "for", words[index].text);
    return element("li", "", text, " ", element("span", "number", signed(relevance)));
  });
  return section("The words before, for (+) or against (−) it", element("ol", "before", ...items));
}

function describe(word, words) {
  const others = word.runnersUp.map(([, probability]) => probability ?? 0);
  const largest = Math.max(Math.exp(word.logprob ?? -99), Math.exp(word.language ?? -99), ...others, 1e-9);
  const sections = [likelihood(word, largest)];
  if (others.length) sections.push(runnersUp(word, largest));
  if (word.preceding.length) sections.push(wordsBefore(word, words));
  return sections;
}
