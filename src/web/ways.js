// The ways by which scripts make a browser load something that the policy may leave open, beside the properties and
// attributes that `guard.js` holds: markup, rules of style, nodes of attributes, SVG.
// Everything is cleaned before the browser sees it but properties of style, which are told by an observer: where a
// script measures something before that has had its turn, it has it then.
// FACTS: c where frames may come from beside those that the list of services names; null: from anywhere.
(function (G, F) {
var hold = G.o, stops = G.s, no = G.f, d = document, me = d.currentScript, anchor = d.createElement('a'), plain = d.createElement('textarea'), put = (Object.getOwnPropertyDescriptor(Element.prototype, 'innerHTML') || {}).set;

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
// Attributes that are read as rules of style.
var RULES = /^(style|mask|cursor|fill|stroke|filter|clip-path)$/i;
// An attribute's value as the browser reads it, and as it is written.
function decoded(v) {
  if (v.indexOf('&') < 0) return v;
  try {
    put.call(plain, v);
    return plain.value;
  } catch (e) { return v; }
}
function encoded(v) { return '"' + v.replace(/&/g, '&amp;').replace(/"/g, '&quot;') + '"'; }
// Markup: the attributes of each tag, and the rules in elements of style. It becomes a part of `on`, where that is known.
function markup(html, on) {
  var isLate, text = String(html), clean = text.replace(/(<style[^>]*>)([^]*?)(?=<\/style|$)/gi, function (all, tag, text) {
    return tag + rules(text);
  }).replace(/<(\w+)((?:[^>=]+|=\s*(?:"[^"]*"|'[^']*'|[^\s>"'][^\s>]*)?)*)/g, function (all, tag, attributes) {
    if (!G.l.test(tag) && !/(style|mask|cursor|fill|stroke|filter|path)\s*=/i.test(attributes)) return all;
    return all.replace(/([\s"'\/])([\w:-]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s>]+)/g, function (all, before, name, is, value) {
      var own = decoded(value.replace(/^["']|["']$/g, '')), now = RULES.test(name) ? rules(own) : /^srcdoc$/i.test(name) ? markup(own) : own;
      if (now != own) return before + name + is + encoded(RULES.test(name) ? now : within(now));
      return G.l.test(tag) && (G.t(tag, name, own) && (isLate = 1) || stops(tag, name, own)) ? before + 'data-consentry-' + name + is + value : all;
    });
  });
  if (isLate && on) G.q(on.getRootNode());
  return clean == text ? html : clean;
}
// A page within a frame, with a guard of its own; who agreed to everything has none.
function within(v) {
  var known = d.querySelector('[data-consentry=known]');
  return (known ? '<script nonce="' + me.nonce + '">' + me.text + '<\/script>' + known.outerHTML : '') + v;
}
// Whether the page that an address of data is names somebody who is held.
function isHeldIn(v) {
  try {
    var at = v.indexOf(','), text = v.slice(at + 1);
    text = /base64\s*$/i.test(v.slice(0, at)) ? atob(text) : decodeURIComponent(text);
    return (text.match(/(https?:)?\/\/[^\s"'<>)]+/gi) || []).some(function (v) { return stops('input', 'src', v); });
  } catch (e) {}
}
// Frames of hosts that nobody knows: browsers connect to those before they ask the policy. Until the list is there
// frames wait.
var acting = F.c, isTold;
G.a = function (v) {
  acting += v;
  isTold = 1;
};
G.f = function (v, tag) {
  if (!/^iframe$/i.test(tag)) return;
  if (/^\s*data:/i.test(v)) return isHeldIn(v);
  anchor.href = v;
  return F.c !== null && isTold && /^http/.test(anchor.protocol) && anchor.host != location.host && !G.u(v, acting);
};

G.p = function (w, change) {
  var declarations = new w.WeakMap(), observer = new w.MutationObserver(look);
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
    names.forEach(function (name) {
      var own = Object.getOwnPropertyDescriptor(object, name);
      if (!own || !own.configurable) return;
      ['get', 'value'].forEach(function (v) { if (typeof own[v] == 'function') own[v] = measured(own[v]); });
      Object.defineProperty(object, name, own);
    });
  }
  observe(w.document);
  ['Element', 'HTMLElement', 'HTMLImageElement', 'SVGGraphicsElement', 'SVGTextContentElement', 'Range', 'Document', 'ShadowRoot', 'Animation'].forEach(function (v) {
    if (w[v]) measures(w[v].prototype, Object.getOwnPropertyNames(w[v].prototype).filter(function (v) {
      return /^(offset|client|scroll|get(B|Cl|CT|Scr|Comp|Ext|Sub|Num|StartP|EndP|Rot|Char|Ani)|comp|check|innerT|focus|caret|element.*Point|width|height|x$|y$|execC|commit)/.test(v);
    }));
  });
  measures(w, 'getComputedStyle scroll scrollTo scrollBy scrollX scrollY pageXOffset pageYOffset innerWidth innerHeight'.split(' '));
  change('Element', 'attachShadow', function (a, own, on) { return observe(own.apply(on, a)); });
  change('Element', 'shadowRoot', no, function (v) { return v && observe(v); });

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
  each('Node CharacterData HTMLElement Attr', 'textContent nodeValue data innerText value', written);
  change('CharacterData', 'appendData insertData replaceData', function (a, own, on) { return isWithin(on) ? words(a, own, on) : own.apply(on, a); });
  change('Element', 'setAttribute', function (a, own, on) {
    if (/^srcdoc$/i.test(a[0]) && on.nodeName == 'IFRAME') on.srcdoc = a[1];
    else {
      if (RULES.test(a[0])) a[1] = rules(a[1], on.getAttribute(a[0]));
      own.apply(on, a);
    }
  });
  change('Element', 'setAttributeNS', function (a, own, on) { if (!hold(on, a[1], a[2])) own.apply(on, a); });
  each('NamedNodeMap Element', 'setNamedItem setNamedItemNS setAttributeNode setAttributeNodeNS', function (a, own, on) {
    var result = own.apply(on, a), v = a[0], element = v.ownerElement;
    if (hold(element, v.name, v.value) && v.ownerElement) element.removeAttributeNode(v);
    return result;
  });

  // Markup, and what has an address of its own.
  each('Element ShadowRoot Range DOMParser', 'setHTML setHTMLUnsafe createContextualFragment parseFromString', argument(0, markup));
  change('Element', 'insertAdjacentHTML', argument(1, markup));
  // A tag may come in pieces: it is kept until the rest is there.
  var piece = '', write = w.document.write;
  ['', '\n'].forEach(function (end) {
    change('Document', end ? 'writeln' : 'write', function (a, own, on) {
      var v = piece || a[1] ? piece + [].join.call(a, '') : a[0], text = String(v), at = text.lastIndexOf('<'), tag = /^<(\w+)[^>]*$/.exec(text.slice(at));
      piece = tag && G.l.test(tag[1]) ? text.slice(at) + end : '';
      (piece ? write : own).call(on, markup(piece ? text.slice(0, at) : v));
    });
  });
  change('Element', 'innerHTML', function (v, on) { return isStyle(on) ? rules(v) : markup(v, on); });
  change('Element', 'outerHTML', markup);
  change('ShadowRoot', 'innerHTML', markup);
  change('HTMLIFrameElement', 'srcdoc', function (v) { return within(markup(v)); });
  change('Document', 'execCommand', function (a, own, on) {
    a = [].slice.call(a);
    if (/html/i.test(a[0])) a[2] = markup(a[2], on);
    return /image/i.test(a[0]) && stops('img', 'src', a[2]) ? false : own.apply(on, a);
  });
  ['parseHTML', 'parseHTMLUnsafe'].forEach(function (name) {
    var own = w.Document[name];
    if (own) w.Document[name] = function (v, options) { return own.call(this, markup(v), options); };
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
