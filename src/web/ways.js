// The ways by which scripts make a browser load something that the policy may leave open, beside the properties and
// attributes that `guard.js` holds: markup, rules of style, nodes of attributes, SVG.
// Everything is cleaned before the browser sees it but properties of style, which are told by an observer: where a
// script measures something before that has had its turn, it has it then.
// FACTS: c where frames may come from beside those that the list of services names; null: from anywhere.
(function (G, F) {
var hold = G.o, stops = G.s, no = G.f, d = document, me = d.currentScript, anchor = d.createElement('a'), plain = d.createElement('textarea'), behind = window.WeakMap && new WeakMap(), put = (Object.getOwnPropertyDescriptor(Element.prototype, 'innerHTML') || {}).set;

// Rules of style: a held address becomes none, and an import one of nothing. What was there before has been judged.
function rules(v, before) {
  return v == null ? v : String(v).replace(/(@import\s*)?(?:url\(\s*(?:"([^"]*)"|'([^']*)'|([^"')]+))\s*(?:\)|$)|"((?:https?:)?\/\/[^"]*)"|'((?:https?:)?\/\/[^']*)')/gi, function (all, isImport, a, b, c, e, f) {
    var url = (a || b || c || e || f || '').replace(/\\([0-9a-f]{1,6})\s?|\\(.)/gi, function (all, hex, letter) { return hex ? String.fromCharCode(parseInt(hex, 16)) : letter; });
    return before && ~before.indexOf(url) || !stops('input', 'src', url) ? all : isImport ? isImport + 'url(data:,)' : 'none';
  });
}
function word(v) { return typeof v == 'string' ? rules(v) : v; }
function words(a, own, on) { return own.apply(on, [].map.call(a, word)); }
// Steps of an animation: a list of properties, or properties with lists.
function steps(v) {
  if (Array.isArray(v)) return v.map(steps);
  if (v && typeof v == 'object' && window.Symbol && v[Symbol.iterator]) return steps(Array.from(v));
  if (Object.prototype.toString.call(v) != '[object Object]') return word(v);
  var all = {};
  Object.keys(v).forEach(function (k) { all[k] = steps(v[k]); });
  return all;
}
function isStyle(v) { return v && v.localName == 'style'; }
function isWithin(v) {
  v = v.startContainer || v;
  return isStyle(v) || isStyle(v.parentNode);
}
function restyle(v, before) {
  var own = isStyle(v) ? v.textContent : v.getAttribute('style'), clean = own && rules(own, before);
  if (clean == own) return;
  // Policies of pages may forbid the attribute, and never the property.
  if (isStyle(v)) v.textContent = clean; else if (v.style) v.style.cssText = clean;
}
// What is to become a child or a neighbour of a node. What is on the page already has been judged.
function judged(v, on) {
  var isLate;
  if (!v || v.isConnected && v.ownerDocument == (on.ownerDocument || on)) return v;
  if (v.nodeType != 1 && v.nodeType != 11) {
    if (!isWithin(on)) return v;
    if (v.nodeType) v.data = rules(v.data);
    return word(v);
  }
  function each(v) {
    if (v.nodeType == 1) restyle(v);
    if (isHeld(v)) isLate = 1;
  }
  each(v);
  if (v.nodeType == 11 && isWithin(on)) v.textContent = rules(v.textContent);
  if (v.firstElementChild) [].forEach.call(v.querySelectorAll('style,[style*="("],[data-consentry-src],[data-consentry-srcset],[data-consentry-href]'), each);
  // It waited elsewhere: in a template, or in a part of a page that was not there yet.
  if (isLate) G.q(on.getRootNode ? on.getRootNode() : d);
  return v;
}
// Whether its address was put away by the guard; what the server holds has a category.
function isHeld(v) {
  return v.hasAttribute && !v.hasAttribute('data-consentry-category') && ['src', 'srcset', 'href'].some(function (name) { return v.hasAttribute('data-consentry-' + name) && !v.hasAttribute(name); });
}
function isWaiting(v) { return G.n() && isHeld(v); }
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
function encoded(v) { return '"' + v.replace(/&/g, '&amp;').replace(/"/g, '&quot;').replace(/[<]/g, '&lt;') + '"'; }
// Markup: the attributes of each tag, and the rules in elements of style. It becomes a part of `on`, where that is known.
function markup(html, on) {
  var isLate, text = String(html), clean = text.replace(/(<(?:\w+:)?style[^>]*>)([^]*?)(?=<\/[\w:]*style|$)/gi, function (all, tag, text) {
    var own = /xml/.test(d.contentType) ? decoded(text) : text, now = rules(own);
    return tag + (now == own ? text : own == text ? now : encoded(now).slice(1, -1));
  }).replace(/<(?:\w+:)?(\w+)((?:[^>=]+|=\s*(?:"[^"]*"|'[^']*'|[^\s>"'][^\s>]*)?)*)/g, function (all, tag, attributes) {
    if (!G.l.test(tag) && !/(style|mask|cursor|fill|stroke|filter|path)\s*=/i.test(attributes)) return all;
    return all.replace(/([\s"'\/])([^\s"'<>\/=]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s>]+)/g, function (all, before, name, is, value) {
      var own = decoded(value.replace(/^["']|["']$/g, '')), now = RULES.test(name) ? rules(own) : /^srcdoc$/i.test(name) ? markup(own) : own;
      if (now != own) return before + name + is + encoded(RULES.test(name) ? now : within(now));
      return G.l.test(tag) && (G.t(tag, name, own) && (isLate = 1) || stops(tag, name, own)) ? before + 'data-consentry-' + name.replace(':', '-') + is + value : all;
    });
  });
  if (isLate && on) G.q(on.getRootNode());
  if (isStyle(on)) clean = rules(clean);
  return clean == text ? html : clean;
}
// Where in `text` a tag or an element of style begins that has not ended; as long as it is where all have.
function unfinished(text) {
  for (var tags = /<(\w+)((?:[^>=]+|=\s*(?:"[^"]*"|'[^']*'|[^\s>"'][^\s>]*)?)*)/g, tag; (tag = tags.exec(text));)
    if (tags.lastIndex == text.length || /^style$/i.test(tag[1]) && !/<\/style/i.test(text.slice(tags.lastIndex))) return tag.index;
  return text.length;
}
// A page within a frame, with a guard of its own behind its doctype; who agreed to everything has none.
function within(v) {
  return v == '' ? v : String(v).replace(/^\s*(<!doctype[^>]*>)?/i, function (all) { return all + prefix(); });
}
function prefix() {
  var known = d.querySelector('[data-consentry=known]');
  return known ? '<script nonce="' + me.nonce + '">' + me.text + '<\/script>' + known.outerHTML : '';
}
// Whether an address is a page itself, and names somebody who is held. Of what scripts make, pages alone are read.
var made = {};
function isPage(v) { return /^\s*(data:|javascript:[^]*(<|%3c)\w)/i.test(v) || made[v]; }
function isHeldIn(v) {
  try {
    var at = v.search(/^\s*data:/i) ? v.indexOf(':') : v.indexOf(','), text = v.slice(at + 1);
    if (made[v]) {
      at = new XMLHttpRequest();
      at.open('GET', v, false);
      at.send();
      text = at.responseText;
    } else text = /base64\s*$/i.test(v.slice(0, at)) ? atob(text) : decodeURIComponent(text);
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
  if (!/^i?frame$/i.test(tag)) return;
  if (isPage(v)) return isHeldIn(v);
  anchor.href = v;
  return F.c !== null && isTold && /^http/.test(anchor.protocol) && anchor.host != location.host && !G.u(v, acting);
};

G.p = function (w, change) {
  var declarations = new w.WeakMap(), passed = new w.WeakMap(), observer = new w.MutationObserver(look);
  function each(kinds, names, write, read) {
    kinds.split(' ').forEach(function (v) { change(v, names, write, read); });
  }
  function argument(at, clean) {
    return function (a, own, on) {
      a = [].slice.call(a);
      if (at < a.length) a[at] = clean(a[at], on.getRootNode && on);
      return own.apply(on, a);
    };
  }
  function statics(kind, names, at, clean) {
    names.split(' ').forEach(function (name) {
      var own = w[kind] && w[kind][name];
      if (own) w[kind][name] = function () { return argument(at, clean)(arguments, own, this); };
    });
  }
  function construct(name, at, clean) {
    var own = w[name];
    if (!own) return;
    w[name] = function () {
      var a = [].slice.call(arguments);
      if (a.length > at) a[at] = clean(a[at]);
      return this instanceof w[name] ? w.Reflect.construct(own, a, this.constructor) : own.apply(this, a);
    };
    w[name].prototype = own.prototype;
    Object.setPrototypeOf(w[name], own);
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
  [
    ['Element HTMLElement HTMLImageElement SVGGraphicsElement SVGTextContentElement Range Document ShadowRoot Animation HTMLInputElement HTMLTextAreaElement HTMLDialogElement',
      /^(offset|client|scroll|get(B|Cl|CT|Scr|Comp|Ext|Sub|Num|StartP|EndP|Rot|Char|Ani)|comp|check|innerT|outerT|focus|blur|caret|element.*Point|width|height|x$|y$|execC|commit|sel|setSel|report|show|hideP|toggleP)/],
    ['MouseEvent', /^(offset|layer)/],
    ['CanvasRenderingContext2D', /^font$/],
    ['CSSStyleDeclaration', /^getP/],
    ['Selection VisualViewport SVGLength SVGGeometryElement StylePropertyMapReadOnly', /^(?!constructor)/]
  ].forEach(function (pair) {
    pair[0].split(' ').forEach(function (v) {
      if (w[v]) measures(w[v].prototype, Object.getOwnPropertyNames(w[v].prototype).filter(function (v) { return pair[1].test(v); }));
    });
  });
  measures(w, 'scroll scrollTo scrollBy scrollX scrollY pageXOffset pageYOffset innerWidth innerHeight find'.split(' '));
  change('Element', 'attachShadow', function (a, own, on) { return observe(own.apply(on, a)); });
  change('Element', 'shadowRoot', no, function (v) { return v && observe(v); });

  // Sheets and their rules.
  each('CSSStyleSheet CSSGroupingRule CSSStyleRule CSSKeyframesRule StylePropertyMap', 'insertRule addRule replace replaceSync appendRule set append', words);
  // Pages keep what a style is computed to, and measure by it later.
  function declared(v) {
    var proxy = v;
    if (v && !(proxy = declarations.get(v))) {
      declarations.set(v, proxy = new w.Proxy(v, {
        get: function (t, k) {
          look(observer.takeRecords());
          return t[k];
        },
        set: function (t, k, v) {
          t[k] = word(v);
          return true;
        }
      }));
      behind.set(proxy, v);
    }
    return proxy;
  }
  each('CSSStyleRule CSSKeyframeRule CSSFontFaceRule CSSNestedDeclarations CSSPageRule', 'style', word, declared);
  var compute = w.getComputedStyle;
  w.getComputedStyle = function () { return declared(compute.apply(this, arguments)); };
  var style = w.CSSStyleDeclaration.prototype;
  Object.getOwnPropertyNames(style).forEach(function (name) {
    if (!/^(len|par|item|css|\w+Prop)/.test(name)) return;
    var own = Object.getOwnPropertyDescriptor(style, name);
    ['get', 'set', 'value'].forEach(function (v) {
      var act = own[v];
      if (act) own[v] = function () {
        var v = behind.get(this);
        return v ? words(arguments, act, v) : act.apply(this, arguments);
      };
    });
    Object.defineProperty(style, name, own);
  });
  construct('FontFace', 1, word);
  construct('KeyframeEffect', 1, steps);
  each('Element KeyframeEffect', 'animate setKeyframes', argument(0, steps));

  // Documents that a page fetches or makes of a text: what is put from one into the page loads at once. Data of other
  // kinds stays as it is.
  function cleaned(v) {
    if (v && v.querySelectorAll && !passed.has(v)) {
      passed.set(v, 1);
      [].forEach.call(v.querySelectorAll('*'), function (v) {
        if (!/xhtml|svg/.test(v.namespaceURI)) return;
        restyle(v);
        cleaned(v.content);
        Array.from(v.attributes).forEach(function (a) {
          if (hold(v, a.name, a.value)) v.removeAttribute(a.name);
          else if (a.name == 'srcdoc' || RULES.test(a.name) && a.value != rules(a.value)) v.setAttribute(a.name, a.value);
        });
      });
    }
    return v;
  }
  each('XMLHttpRequest', 'response responseXML', no, cleaned);
  change('DOMParser', 'parseFromString', function (a, own, on) { return cleaned(own.apply(on, a)); });
  change('XSLTProcessor', 'transformToDocument', function (a, own, on) { return cleaned(own.apply(on, a)); });
  // It is made for a document that loads nothing, and loads once it is the page's.
  change('XSLTProcessor', 'transformToFragment', function (a, own, on) { return a[1].adoptNode(cleaned(own.call(on, a[0], a[1].cloneNode()))); });
  change('Document', 'createProcessingInstruction', function (a, own, on) {
    var v = /href\s*=\s*["']([^"']*)/.exec(a[1]);
    return v && stops('link', 'href', decoded(v[1])) ? on.createComment('') : own.apply(on, a);
  });

  // Elements of style, their text, and attributes as nodes.
  each('Node Element CharacterData Document DocumentFragment Range', 'appendChild insertBefore replaceChild append prepend replaceChildren before after replaceWith insertAdjacentElement insertNode surroundContents moveBefore', function (a, own, on) {
    for (var i = 0; i < a.length; i++) a[i] = judged(a[i], on);
    return own.apply(on, a);
  });
  each('HTMLTableElement', 'tHead tFoot caption', judged);
  function written(v, on) {
    if (on.nodeType == 2) return on.ownerElement && hold(on.ownerElement, on.name, v) ? no : v;
    return isWithin(on) ? rules(v) : v;
  }
  each('Node CharacterData HTMLElement Attr', 'textContent nodeValue data innerText outerText value', written);
  each('CharacterData Element', 'appendData insertData replaceData insertAdjacentText', function (a, own, on) { return isWithin(on) ? words(a, own, on) : own.apply(on, a); });
  // By a name and a value; the name's prefix says nothing.
  function named(at) {
    return function (a, own, on) {
      var name = String(a[at]).replace(/^.*:/, '');
      if (/^srcdoc$/i.test(name) && on.localName == 'iframe') on.srcdoc = a[at + 1];
      else if (!at || !hold(on, a[at], a[at + 1])) {
        if (RULES.test(name)) a[at + 1] = rules(a[at + 1], on.getAttribute(a[at]));
        own.apply(on, a);
      }
    };
  }
  // The guard knows it.
  change('Element', 'setAttribute', named(0));
  change('Element', 'setAttributeNS', named(1));
  change('Element', 'removeAttribute', function (a, own, on) {
    if (isHeld(on)) own.call(on, 'data-consentry-' + a[0]);
    own.apply(on, a);
  });
  each('NamedNodeMap Element', 'setNamedItem setNamedItemNS setAttributeNode setAttributeNodeNS', function (a, own, on) {
    var result = own.apply(on, a), v = a[0], element = v.ownerElement;
    if (v.name == 'srcdoc') element.srcdoc = v.value;
    else if (hold(element, v.name, v.value) && v.ownerElement) element.removeAttributeNode(v);
    return result;
  });

  // Markup, and what has an address of its own.
  each('Element ShadowRoot Range', 'setHTML setHTMLUnsafe createContextualFragment', argument(0, markup));
  change('Element', 'insertAdjacentHTML', argument(1, markup));
  // A tag may come in pieces, and an element of style: they are kept until the rest is there.
  var piece = '', write = w.document.write;
  ['', '\n'].forEach(function (end) {
    change('Document', end ? 'writeln' : 'write', function (a, own, on) {
      var v = piece || a.length != 1 ? piece + [].map.call(a, String).join('') : a[0], text = String(v), at = unfinished(text);
      piece = at < text.length ? text.slice(at) + end : '';
      (piece ? write : own).call(on, markup(piece ? text.slice(0, at) : v, on));
    });
  });
  change('Document', 'close', function (a, own, on) {
    if (piece) write.call(on, markup(piece, on));
    piece = '';
    own.call(on);
  });
  each('Element ShadowRoot', 'innerHTML outerHTML', markup);
  // What a policy of types has made stays what it is.
  change('HTMLIFrameElement', 'srcdoc', function (v) { return typeof v == 'string' ? within(markup(v)) : markup(v); }, function (v) { return v.replace(prefix(), ''); });
  each('HTMLFrameElement HTMLObjectElement', 'contentWindow contentDocument', no, G.w);
  change('Document', 'execCommand', function (a, own, on) {
    a = [].slice.call(a);
    if (/html/i.test(a[0])) a[2] = markup(a[2], on);
    return /image/i.test(a[0]) && stops('img', 'src', a[2]) ? false : own.apply(on, a);
  });
  statics('Document', 'parseHTML parseHTMLUnsafe', 0, markup);
  statics('CSSStyleValue', 'parse parseAll', 1, word);
  statics('CSS', 'registerProperty', 0, steps);
  each('HTMLBodyElement HTMLFrameElement HTMLTrackElement HTMLSourceElement HTMLInputElement HTMLMediaElement HTMLVideoElement HTMLLinkElement', 'background src srcset poster imageSrcset', function (v, on, name) { return hold(on, name, v) ? no : v; });
  // While they wait, pictures are neither there nor broken, and frames have loaded nothing.
  change('HTMLImageElement', 'complete', no, function (v, on) { return v && !isWaiting(on); });
  change('HTMLImageElement', 'decode', function (a, own, on) {
    return !isWaiting(on) ? own.apply(on, a) : new w.Promise(function (done, failed) {
      on.addEventListener('load', function () { own.call(on).then(done, failed); });
      on.addEventListener('error', failed);
    });
  });
  w.document.addEventListener('load', function (e) { if (/^i?frame$/.test(e.target.localName) && isWaiting(e.target)) e.stopPropagation(); }, true);
  change('StorageEvent', 'storageArea', no, function (v) { return G.j(v, 1); });
  construct('StorageEvent', 1, function (v) { return v && v.storageArea ? Object.assign({}, v, { storageArea: G.j(v.storageArea, 0) }) : v; });
  // Links of SVG load nothing.
  change('SVGAElement', 'href', no, function (v) {
    passed.set(v, 1);
    return v;
  });
  change('SVGAnimatedString', 'baseVal', function (v, on) { return !passed.has(on) && stops('image', 'href', v) ? no : v; });
  change('CookieStore', 'set get', function (a, own, on) { return G.k(a[0]) ? w.Promise.resolve(null) : own.apply(on, a); });
  change('CookieStore', 'getAll', function (a, own, on) {
    return own.apply(on, a).then(function (v) { return v.filter(function (v) { return !G.k(v); }); });
  });
  var open = w.open, make = w.URL && w.URL.createObjectURL;
  if (make) w.URL.createObjectURL = function (v) {
    var url = make.call(this, v);
    if (/html|xml/i.test(v.type)) made[url] = 1;
    return url;
  };
  w.open = function (v) {
    if (isPage(v) && isHeldIn(v)) arguments[0] = 'about:blank';
    return G.w(open.apply(this, arguments));
  };
  // What the policy stops would be an error to the page: it goes on as if it had been heard.
  var ask = w.fetch;
  if (ask) w.fetch = function (a) { return G.u(a && a.url || a) ? w.Promise.resolve(new w.Response('')) : ask.apply(this, arguments); };
  change('Navigator', 'sendBeacon', function (a, own, on) { return G.u(a[0]) || own.apply(on, a); });
  function sound(v) { return typeof v == 'string' && stops('audio', 'src', v) ? '' : v; }
  construct('Audio', 0, sound);
  // What a page has the browser show beside it.
  function artwork(v) { return Array.from(v).filter(function (v) { return sound(v.src) != ''; }); }
  function shown(v) {
    if (Object(v) !== v) return v;
    v = Object.assign({}, v);
    'icon image badge'.split(' ').forEach(function (k) { if (sound(v[k]) == '') delete v[k]; });
    if (v.artwork) v.artwork = artwork(v.artwork);
    return v;
  }
  change('MediaMetadata', 'artwork', artwork);
  construct('Notification', 1, shown);
  construct('MediaMetadata', 0, shown);
  change('ServiceWorkerRegistration', 'showNotification', argument(1, shown));
};
try { G.p(window, G.c); } catch (e) {}
})(window.consentry, FACTS);
