// The rarer ways by which scripts make a browser load something that the policy may leave open, beside those that
// `guard.js` holds: rules of style, markup that is read elsewhere than in an element, nodes of attributes, SVG.
// Everything is cleaned before the browser sees it but properties of style, which are told by an observer: where a
// script measures something before that has had its turn, it has it then.
// FACTS: c where frames may come from beside those that the list of services names; null: from anywhere.
(function (G, F) {
var hold = G.o, stops = G.s, no = G.f;

// Rules of style: a held address becomes none, and an import one of nothing. What was there before has been judged.
function rules(v, before) {
  return String(v).replace(/(@import\s*)?(?:url\(\s*(["']?)([^"')]+)\2\s*\)|(["'])((?:https?:)?\/\/[^"']+)\4)/gi, function (all, isImport, quote, url, other, text) {
    url = url || text;
    return before && ~before.indexOf(url) || !stops('input', 'src', url) ? all : isImport ? isImport + 'url(data:,)' : 'none';
  });
}
function word(v) { return typeof v == 'string' ? rules(v) : v; }
function words(a, own, on) { return own.apply(on, [].map.call(a, word)); }
// Steps of an animation: a list of properties, or properties with lists.
function steps(v) {
  if (Array.isArray(v)) return v.map(steps);
  if (Object.prototype.toString.call(v) != '[object Object]') return word(v);
  var all = {};
  Object.keys(v).forEach(function (k) { all[k] = steps(v[k]); });
  return all;
}
function isStyle(v) { return v && (v.nodeName == 'STYLE' || v.nodeName == 'style'); }
function isWithin(v) { return isStyle(v) || isStyle(v.parentNode); }
function restyle(v, before) {
  var own = isStyle(v) ? v.textContent : v.getAttribute('style'), clean = own && rules(own, before);
  if (clean == own) return;
  // Policies of pages may forbid the attribute, and never the property.
  if (isStyle(v)) v.textContent = clean; else if (v.style) v.style.cssText = clean;
}
// What is to become a child or a neighbour of a node. What is on the page already has been judged.
function judged(v, on) {
  if (!v || v.isConnected) return v;
  if (v.nodeType != 1 && v.nodeType != 11) {
    if (!isWithin(on)) return v;
    if (v.nodeType) v.data = rules(v.data);
    return word(v);
  }
  if (v.nodeType == 1) restyle(v);
  if (v.firstElementChild) [].forEach.call(v.querySelectorAll('style,[style*="("]'), function (v) { restyle(v); });
  return v;
}
// In markup: elements of style, and attributes of that name.
G.r = function (html) {
  return html.replace(/(<style[^>]*>)([^]*?)(?=<\/style|$)|(\sstyle\s*=\s*)("[^"]*"|'[^']*')/gi, function (all, tag, text, name, value) {
    if (tag) return tag + rules(text);
    var plain = value.slice(1, -1).replace(/&quot;/g, '"').replace(/&(#39|apos);/g, "'"), clean = rules(plain);
    return clean == plain ? all : name + '"' + clean.replace(/"/g, '&quot;') + '"';
  });
};

// Frames of hosts that nobody knows: browsers connect to those before they ask the policy. Until the list is there
// frames wait.
var acting = F.c, isTold, anchor = document.createElement('a');
G.a = function (v) {
  acting += v;
  isTold = 1;
};
G.f = function (v, tag) {
  anchor.href = v;
  return /^iframe$/i.test(tag) && F.c !== null && isTold && /^http/.test(anchor.protocol) && anchor.host != location.host && !G.u(v, acting);
};

G.p = function (w, change) {
  var d = w.document, declarations = new w.WeakMap(), observer = new w.MutationObserver(look);
  function each(kinds, names, write, read) {
    kinds.split(' ').forEach(function (v) { change(v, names, write, read); });
  }
  function argument(at, clean) {
    return function (a, own, on) {
      a = [].slice.call(a);
      a[at] = clean(a[at], on.getRootNode && on);
      return own.apply(on, a);
    };
  }
  function construct(name, at, clean) {
    var own = w[name];
    if (!own) return;
    w[name] = function () {
      var a = [].slice.call(arguments);
      if (a.length > at) a[at] = clean(a[at]);
      return w.Reflect.construct(own, a, this.constructor);
    };
    w[name].prototype = own.prototype;
  }

  // Properties of style, in the page and within shadows.
  function observe(v) {
    observer.observe(v, { subtree: true, attributes: true, attributeOldValue: true, attributeFilter: ['style'] });
    return v;
  }
  function look(records) { records.forEach(function (v) { restyle(v.target, v.oldValue); }); }
  function measured(own) {
    return function () {
      look(observer.takeRecords());
      return own.apply(this, arguments);
    };
  }
  function measures(object, names) {
    Object.getOwnPropertyNames(object).forEach(function (name) {
      var own = names.test(name) && Object.getOwnPropertyDescriptor(object, name);
      if (!own || !own.configurable) return;
      ['get', 'value'].forEach(function (v) { if (typeof own[v] == 'function') own[v] = measured(own[v]); });
      Object.defineProperty(object, name, own);
    });
  }
  observe(d);
  ['Element', 'HTMLElement', 'HTMLImageElement', 'SVGGraphicsElement', 'SVGTextContentElement', 'Range', 'Document', 'DocumentOrShadowRoot', 'ShadowRoot', 'Animation'].forEach(function (v) {
    if (w[v]) measures(w[v].prototype, /^(offset|client|scroll|get(B|Cl|CT|Scr|Comp|Ext|Sub|Num|StartP|EndP|Rot|Char|Ani)|comp|check|inner(T|W|H)|focus|caret|element.*Point|width|height|x$|y$|execC|commit)/);
  });
  measures(w, /^(getComp|scroll|page[XY]|inner[WH])/);
  change('Element', 'attachShadow', function (a, own, on) { return observe(own.apply(on, a)); });

  // Sheets and their rules.
  each('CSSStyleSheet CSSGroupingRule CSSStyleRule CSSKeyframesRule StylePropertyMap', 'insertRule addRule replace replaceSync appendRule set append', words);
  each('CSSStyleRule CSSKeyframeRule CSSFontFaceRule CSSNestedDeclarations CSSPageRule', 'style', word, function (v) {
    if (!declarations.has(v)) declarations.set(v, new w.Proxy(v, {
      get: function (t, k) {
        var own = t[k];
        return typeof own == 'function' ? function () { return words(arguments, own, t); } : own;
      },
      set: function (t, k, v) {
        t[k] = word(v);
        return true;
      }
    }));
    return declarations.get(v);
  });
  construct('FontFace', 1, word);
  construct('KeyframeEffect', 1, steps);
  each('Element KeyframeEffect', 'animate setKeyframes', argument(0, steps));

  // Elements of style, their text, and attributes as nodes.
  each('Node Element CharacterData Document DocumentFragment Range', 'appendChild insertBefore replaceChild append prepend replaceChildren before after replaceWith insertAdjacentElement insertNode moveBefore', function (a, own, on) {
    for (var i = 0; i < a.length; i++) a[i] = judged(a[i], on);
    return own.apply(on, a);
  });
  function written(v, on) {
    if (on.nodeType == 2) return on.ownerElement && hold(on.ownerElement, on.name, v) ? no : v;
    return isWithin(on) ? rules(v) : v;
  }
  each('Node CharacterData HTMLElement Attr Element', 'textContent nodeValue data innerText value innerHTML', written);
  change('CharacterData', 'appendData insertData replaceData', function (a, own, on) { return isWithin(on) ? words(a, own, on) : own.apply(on, a); });
  change('Element', 'setAttributeNS', function (a, own, on) { if (!hold(on, a[1], a[2])) own.apply(on, a); });
  each('NamedNodeMap Element', 'setNamedItem setNamedItemNS setAttributeNode setAttributeNodeNS', function (a, own, on) {
    var result = own.apply(on, a), v = a[0], element = v.ownerElement;
    if (hold(element, v.name, v.value) && v.ownerElement) element.removeAttributeNode(v);
    return result;
  });

  // Markup, and what has an address of its own.
  each('Element ShadowRoot Range DOMParser', 'setHTML setHTMLUnsafe createContextualFragment parseFromString', argument(0, G.h));
  change('Element', 'insertAdjacentHTML', argument(1, G.h));
  // A tag may come in pieces.
  change('Document', 'write writeln', function (a, own, on) { own.call(on, G.h(a[1] ? [].join.call(a, '') : a[0])); });
  change('ShadowRoot', 'innerHTML', G.h);
  change('Document', 'execCommand', function (a, own, on) {
    a = [].slice.call(a);
    if (/html/i.test(a[0])) a[2] = G.h(a[2], on);
    return /image/i.test(a[0]) && stops('img', 'src', a[2]) ? false : own.apply(on, a);
  });
  ['parseHTML', 'parseHTMLUnsafe'].forEach(function (name) {
    var own = w.Document[name];
    if (own) w.Document[name] = function (v, options) { return own.call(this, G.h(v), options); };
  });
  each('HTMLBodyElement HTMLTrackElement HTMLSourceElement HTMLInputElement HTMLMediaElement HTMLVideoElement HTMLLinkElement', 'background src srcset poster imageSrcset', function (v, on, name) { return hold(on, name, v) ? no : v; });
  change('SVGAnimatedString', 'baseVal', function (v) { return stops('image', 'href', v) ? no : v; });
  change('CookieStore', 'set get', function (a, own, on) { return G.k(a[0]) ? w.Promise.resolve(null) : own.apply(on, a); });
  change('CookieStore', 'getAll', function (a, own, on) {
    return own.apply(on, a).then(function (v) { return v.filter(function (v) { return !G.k(v); }); });
  });
  var open = w.open;
  w.open = function () { return G.w(open.apply(this, arguments)); };
  // What the policy stops would be an error to the page: it goes on as if it had been heard.
  var ask = w.fetch;
  if (ask) w.fetch = function (a) { return G.u(a && a.url || a) ? w.Promise.resolve(new w.Response('')) : ask.apply(this, arguments); };
  change('Navigator', 'sendBeacon', function (a, own, on) { return G.u(a[0]) || own.apply(on, a); });
  construct('Audio', 0, function (v) { return stops('audio', 'src', v) ? '' : v; });
};
try { G.p(window, G.c); } catch (e) {}
})(window.consentry, FACTS);
