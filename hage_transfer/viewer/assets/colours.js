// 64 colours of each map, as matplotlib has them (CC0): even in lightness, and readable with any colour vision.
const HEX = {
  viridis:
    '44015446075a470d6047136548186a481d6f482374482878472d7b46327e453781443b844240864045883e49893d4e8a' +
    '3a538b38588c365c8d34608d32648e31688e2f6c8e2d708e2c738e2a778e297b8e277f8e26828e24868e238a8d218e8d' +
    '20928c1f968b1f9a8a1f9e891fa18721a58523a98326ad812ab07f2fb47c35b7793bbb7542be714ac16d52c5695ac864' +
    '65cb5e6ece5877d15381d34d8bd64695d840a0da39aadc32b5de2bc0df25cae11fd5e21adfe318eae51af4e61efde725',
  cividis:
    '00224e00255400285b002b62002e6a0030700533711235701a386f213b6e273e6e2d416d32436d36466c3b496c3f4c6c' +
    '444f6c48526c4c556c50576c545a6d575d6d5b606e5e636f62656f656870696b716c6e727071737374757777767a7a78' +
    '7e7d788280798683798a86788e8978928c78958f779992779d9576a19975a59c74a99f73ada272b1a570b6a96fbaac6d' +
    'bfb06bc3b369c7b767ccba64d0be62d4c15fd9c55cddc858e1cc55e6d051ead34cefd748f3db42f8df3cfde334fee838',
  magma:
    '00000402010903031206051a0a08220e0b2b130d34180f3d1d114722115029115a2f116336106b3d0f71440f764a1079' +
    '52137c59157e5f187f651a806b1d81721f817822817e24828426818b2981912b81982d809e2f7fa5317eab337cb2357b' +
    'ba3878c03a76c73d73cd4071d3436ed9466bdf4a68e44f64e95462ed5a5ff1605df4675cf66e5cf8765cfa7d5efb8560' +
    'fc8e64fd9668fe9d6cfea571feac76feb47bfebb81fec287feca8dfed194fed89afde0a1fde7a9fceeb0fcf6b8fcfdbf',
};

const STEPS = 256;

/** Names of the colour maps. */
export const COLOUR_MAPS = Object.keys(HEX);

/** A colour map as 256 RGB triples in one Uint8Array. */
export function colourTable(name) {
  const hex = HEX[name] ?? HEX.viridis;
  const known = hex.length / 6;
  const table = new Uint8Array(STEPS * 3);
  for (let step = 0; step < STEPS; step += 1) {
    const place = (step / (STEPS - 1)) * (known - 1);
    const low = Math.min(Math.floor(place), known - 2);
    for (let channel = 0; channel < 3; channel += 1) {
      const at = (index) => parseInt(hex.slice(index * 6 + channel * 2, index * 6 + channel * 2 + 2), 16);
      table[step * 3 + channel] = Math.round(at(low) + (at(low + 1) - at(low)) * (place - low));
    }
  }
  return table;
}

/** A CSS gradient of a colour map, from left to right. */
export function gradientStops(name) {
  const table = colourTable(name);
  return Array.from({ length: 17 }, (_, k) => {
    const at = Math.round((k * (STEPS - 1)) / 16) * 3;
    return `rgb(${table[at]} ${table[at + 1]} ${table[at + 2]})`;
  });
}
