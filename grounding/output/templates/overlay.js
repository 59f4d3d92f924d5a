// Draws one answer's evidence: a heat map or points on the canvas, box and outlines as shapes above it.

const HEAT_LONGEST = 480; // pixels of the smoothed heat map, longer side
const CANVAS_LONGEST = 1440; // pixels of the canvas, longer side
const CROWD = 400; // points, above which each is drawn smaller

function colourTable(stops) {
  const table = new Uint8ClampedArray(256 * 4);
  for (let level = 0; level < 256; level++) {
    const value = level / 255;
    const upper = Math.max(1, stops.findIndex((stop) => stop[0] >= value));
    const [low, high] = [stops[upper - 1], stops[upper]];
    const part = (value - low[0]) / (high[0] - low[0]);
    for (let channel = 0; channel < 4; channel++) {
      table[4 * level + channel] = low[channel + 1] + part * (high[channel + 1] - low[channel + 1]);
    }
  }
  return table;
}

// The level above which the strongest pixels hold `share` of the map's mass.
function levelFor(map, share) {
  const mass = new Float64Array(256);
  for (const level of map) mass[level] += level;
  const wanted = share * mass.reduce((sum, part) => sum + part, 0);
  let level = 255;
  for (let held = mass[255]; held < wanted && level > 1; held += mass[level]) level -= 1;
  return share >= 1 ? 0 : level;
}

// The smallest number of points, strongest first, that hold `share` of their weight.
function pointsFor(points, share) {
  const wanted = share * points.reduce((sum, point) => sum + point[2], 0) - 1e-9;
  let count = 0;
  for (let held = 0; held < wanted && count < points.length; count++) held += points[count][2];
  return share >= 1 ? points : points.slice(0, count);
}

function decode(evidence) {
  return Uint8Array.from(atob(evidence.map), (character) => character.charCodeAt(0));
}

// Bilinear, with pixel centres in place, so that the smoothed map lies exactly on the photo.
function smooth(map, rows, columns, height, width) {
  const field = new Float32Array(height * width);
  const place = (index, size, count) => {
    const at = Math.min(Math.max(((index + 0.5) * count) / size - 0.5, 0), count - 1);
    const low = Math.floor(at);
    return [low, Math.min(low + 1, count - 1), at - low];
  };
  const across = Array.from({ length: width }, (_, x) => place(x, width, columns));
  for (let y = 0; y < height; y++) {
    const [top, bottom, down] = place(y, height, rows);
    for (let x = 0; x < width; x++) {
      const [left, right, along] = across[x];
      const upper = map[top * columns + left] * (1 - along) + map[top * columns + right] * along;
      const lower = map[bottom * columns + left] * (1 - along) + map[bottom * columns + right] * along;
      field[y * width + x] = upper * (1 - down) + lower * down;
    }
  }
  return field;
}

function fitted(width, height, longest) {
  const scale = longest / Math.max(width, height);
  return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
}

class Overlay {
  constructor(canvas, shapes, data) {
    Object.assign(this, { canvas, shapes, data, table: colourTable(data.heat), maps: new Map() });
    [canvas.width, canvas.height] = fitted(data.width, data.height, CANVAS_LONGEST);
    this.heat = document.createElement("canvas");
    [this.heat.width, this.heat.height] = fitted(data.width, data.height, HEAT_LONGEST);
    shapes.setAttribute("viewBox", `0 0 ${data.width} ${data.height}`);
  }

  show(evidence, { view, share, box, outlines = true, faint = false }, polygons = []) {
    const heat = view === "heat" || evidence.mapOnly;
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.globalAlpha = faint ? 0.5 : 1;
    this.canvas.style.mixBlendMode = heat ? this.data.blend ?? "normal" : "normal";
    if (heat) this.drawHeat(context, evidence, share);
    else this.drawPoints(context, pointsFor(evidence.points, share));
    this.drawShapes(box ? evidence.box : null, outlines ? polygons : []);
  }

  drawHeat(context, evidence, share) {
    const { width, height } = this.heat;
    if (!this.maps.has(evidence)) {
      const map = decode(evidence);
      this.maps.set(evidence, { map, field: smooth(map, evidence.rows, evidence.columns, height, width) });
    }
    const { map, field } = this.maps.get(evidence);
    const level = levelFor(map, share);
    const image = new ImageData(width, height);
    for (let pixel = 0; pixel < field.length; pixel++) {
      const from = 4 * Math.round(field[pixel]);
      const edge = level === 0 ? 1 : Math.min(Math.max((field[pixel] - level) / 3 + 0.5, 0), 1); // no jagged rim
      for (let channel = 0; channel < 3; channel++) image.data[4 * pixel + channel] = this.table[from + channel];
      image.data[4 * pixel + 3] = this.table[from + 3] * edge;
    }
    this.heat.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.heat, 0, 0, this.canvas.width, this.canvas.height);
  }

  drawPoints(context, points) {
    const { canvas, table, data } = this;
    const scale = [canvas.height / data.height, canvas.width / data.width];
    const dense = canvas.width / (canvas.clientWidth || canvas.width); // canvas pixels per pixel of the window
    const crowd = Math.min(Math.max(Math.sqrt(CROWD / points.length), 0.25), 1);
    const largest = crowd * Math.max(CANVAS_LONGEST / 160, 5 * dense); // to be seen on a small screen, too
    for (const [row, column, weight] of [...points].reverse()) { // the strongest on top
      const from = 4 * Math.round(70 + 185 * weight);
      context.beginPath();
      context.arc((column + 0.5) * scale[1], (row + 0.5) * scale[0], largest * (0.35 + 0.65 * Math.sqrt(weight)), 0, 7);
      context.fillStyle = `rgb(${table[from]} ${table[from + 1]} ${table[from + 2]} / .9)`;
      context.fill();
      context.strokeStyle = "rgb(20 10 20 / .55)";
      context.stroke();
    }
  }

  drawShapes(box, outlines) {
    const paths = outlines.map((polygon) => ["outline", polygon]);
    if (box) {
      const [x, y, w, h] = box;
      paths.push(["box", [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]]);
    }
    this.shapes.replaceChildren(...paths.map(([kind, polygon]) => {
      const group = document.createElementNS("http://www.w3.org/2000/svg", "g");
      group.setAttribute("class", kind);
      for (const stroke of ["shade", "line"]) {
        const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
        path.setAttribute("class", stroke);
        path.setAttribute("d", `M${polygon.map((corner) => corner.join(" ")).join("L")}Z`);
        group.append(path);
      }
      return group;
    }));
  }
}
