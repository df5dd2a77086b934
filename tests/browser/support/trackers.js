// What more vendors' scripts observably do, one row each: whom they call, and what they keep.
//   calls: pixels and beacons   cookies, local: names that are kept   scripts: what they load in turn   then: more of it

const ROWS = [
  [/google-analytics\.com\/urchin\.js/, { then: `window.urchinTracker = function () {
    document.cookie = '__utma=1; path=/'; document.cookie = '__utmz=1; path=/';
    new Image().src = location.protocol + '//www.google-analytics.com/__utm.gif?utmwv=1'; };` }],
  [/stats\.g\.doubleclick\.net\/dc\.js/, { cookies: ['__utma'], calls: ['stats.g.doubleclick.net/__utm.gif'] }],
  [/\/(piwik|matomo)\.js/, { cookies: ['_pk_id.1', '_pk_ses.1'], then: `(function () {
    var to; function run(call) {
      if (call[0] === 'setTrackerUrl') to = call[1];
      if (call[0] === 'trackPageView' || call[0] === 'trackEvent') new Image().src = to + '?idsite=1&action=' + call[0];
    }
    (window._paq || []).forEach(run); window._paq = { push: run };
    window.Piwik = { getTracker: function (url) { return { enableLinkTracking: function () {}, trackPageView: function () { new Image().src = url + '?idsite=1'; } }; } };
  })();` }],
  [/clarity\.ms\/tag/, { cookies: ['_clck', '_clsk'], calls: ['x.clarity.ms/collect'] }],
  [/static\.hotjar\.com/, { cookies: ['_hjSessionUser_1', '_hjSession_1'], local: ['_hjUserAttributes'], calls: ['in.hotjar.com/api'] }],
  [/snap\.licdn\.com/, { cookies: ['li_fat_id'], calls: ['px.ads.linkedin.com/collect'] }],
  [/analytics\.tiktok\.com/, { cookies: ['_ttp', '_tt_enable_cookie'], calls: ['analytics.tiktok.com/api/v2/pixel'] }],
  [/static\.ads-twitter\.com/, { cookies: ['_twclid'], calls: ['t.co/i/adsct', 'analytics.twitter.com/i/adsct'] }],
  [/s\.pinimg\.com\/ct/, { cookies: ['_pin_unauth'], calls: ['ct.pinterest.com/v3'] }],
  [/bat\.bing\.com\/bat\.js/, { cookies: ['_uetsid', '_uetvid'], calls: ['bat.bing.com/action/0'], then: `window.UET = function (o) { this.push = function () { new Image().src = 'https://bat.bing.com/action/0?evt=pageLoad'; }; };` }],
  [/sc-static\.net/, { cookies: ['_scid'], calls: ['tr.snapchat.com/p'] }],
  [/redditstatic\.com\/ads/, { cookies: ['_rdt_uuid'], calls: ['alb.reddit.com/rp.gif'] }],
  [/static\.criteo\.net/, { cookies: ['cto_bundle'], calls: ['sslwidget.criteo.com/event'] }],
  [/track\.adform\.net\/serving/, { calls: ['track.adform.net/Serving/TrackPoint'] }],
  [/adroll\.com\/j/, { cookies: ['__adroll_fpc'], calls: ['d.adroll.com/pixel'] }],
  [/cdn\.taboola\.com/, { cookies: ['taboola_session_id'], calls: ['trc.taboola.com/1/log'] }],
  [/amplify\.outbrain\.com/, { cookies: ['outbrain_cid_fetch'], calls: ['tr.outbrain.com/pixel'] }],
  [/js\.hs-scripts\.com/, { scripts: ['js.hs-analytics.net/analytics/1/1.js'] }],
  [/js\.hs-analytics\.net/, { cookies: ['__hstc', 'hubspotutk'], calls: ['track.hubspot.com/__ptq.gif'] }],
  [/munchkin\.marketo\.net/, { cookies: ['_mkto_trk'], calls: ['1.mktoresp.com/webevents/visitWebPage'], then: 'window.Munchkin = { init: function () {} };' }],
  [/pi\.pardot\.com\/pd\.js/, { cookies: ['visitor_id1'], calls: ['pi.pardot.com/analytics'] }],
  [/chimpstatic\.com/, { cookies: ['mailchimp_landing_site'], calls: ['x.list-manage.com/track'] }],
  [/static\.klaviyo\.com/, { cookies: ['__kla_id'], calls: ['a.klaviyo.com/onsite/track'] }],
  [/widget\.intercom\.io/, { cookies: ['intercom-id-x'], calls: ['api-iam.intercom.io/messenger/web/ping'] }],
  [/client\.crisp\.chat/, { cookies: ['crisp-client/session'], calls: ['client.crisp.chat/settings'] }],
  [/embed\.tawk\.to/, { cookies: ['TawkConnectionTime'], calls: ['va.tawk.to/register'] }],
  [/static\.zdassets\.com/, { cookies: ['__zlcmid'], calls: ['ekr.zdassets.com/compose'] }],
  [/statcounter\.com\/counter/, { cookies: ['sc_is_visitor_unique'], calls: ['c.statcounter.com/t.php'] }],
  [/static\.getclicky\.com/, { cookies: ['_jsuid'], calls: ['in.getclicky.com/in.php'] }],
  [/static\.chartbeat\.com/, { cookies: ['_cb'], calls: ['ping.chartbeat.net/ping'] }],
  [/quantserve\.com\/quant\.js/, { cookies: ['__qca'], calls: ['pixel.quantserve.com/pixel'] }],
  [/scorecardresearch\.com\/beacon\.js/, { cookies: ['_scor_uid'], calls: ['sb.scorecardresearch.com/b'], then: 'window.COMSCORE = { beacon: function () {} };' }],
  [/cdn\.mxpnl\.com/, { cookies: ['mp_1_mixpanel'], local: ['mp_1'], calls: ['api-js.mixpanel.com/track'] }],
  [/cdn\.segment\.com/, { cookies: ['ajs_anonymous_id'], local: ['ajs_anonymous_id'], calls: ['api.segment.io/v1/p'] }],
  [/cdn\.amplitude\.com/, { cookies: ['AMP_1'], calls: ['api2.amplitude.com/2/httpapi'], then: 'window.amplitude = { getInstance: function () { return { init: function () {}, logEvent: function () {} }; } };' }],
  [/cdn\.heapanalytics\.com/, { cookies: ['_hp2_id.1'], calls: ['heapanalytics.com/h'] }],
  [/posthog\.com\/static\/array\.js/, { cookies: ['ph_1_posthog'], local: ['ph_1_posthog'], calls: ['eu.i.posthog.com/e/'] }],
  [/mc\.yandex\.ru\/metrika/, { cookies: ['_ym_uid', '_ym_d'], local: ['_ym_uid'], calls: ['mc.yandex.ru/watch/1'] }],
  [/hm\.baidu\.com\/hm\.js/, { cookies: ['Hm_lvt_1'], calls: ['hm.baidu.com/hm.gif'] }],
  [/hit\.gemius\.pl/, { cookies: ['__gfp_64b'], calls: ['se.hit.gemius.pl/_1/rexdot.gif'] }],
  [/siteimproveanalytics\.com/, { cookies: ['nmstat'], calls: ['1.global.siteimproveanalytics.io/image.aspx'] }],
  [/vizzit\.se/, { calls: ['www.vizzit.se/log.gif'] }],
  [/lftracker\.leadfeeder\.com/, { cookies: ['_lfa'], calls: ['tr.lfeeder.com/'] }],
  [/serve\.albacross\.com/, { cookies: ['nQ_cookieId'], calls: ['collect.albacross.com/u'] }],
  [/edge\.fullstory\.com/, { cookies: ['fs_uid'], calls: ['rs.fullstory.com/rec/page'] }],
  [/cdn\.mouseflow\.com/, { cookies: ['mf_user'], calls: ['o2.mouseflow.com/data'] }],
  [/script\.crazyegg\.com/, { cookies: ['_ce.s'], calls: ['tracking.crazyegg.com/s'] }],
  [/cdn\.optimizely\.com/, { cookies: ['optimizelyEndUserId'], calls: ['logx.optimizely.com/v1/events'] }],
  [/visualwebsiteoptimizer\.com/, { cookies: ['_vwo_uuid'], calls: ['dev.visualwebsiteoptimizer.com/v.gif'], then: "var s = document.getElementById('_vis_opt_path_hides'); s && s.remove();" }],
  [/googleoptimize\.com/, { cookies: ['_gaexp'], then: "window.dataLayer && dataLayer.hide && dataLayer.hide.end && dataLayer.hide.end();" }],
  [/googleadservices\.com\/pagead\/conversion/, { cookies: ['_gcl_au'], calls: ['googleads.g.doubleclick.net/pagead/viewthroughconversion/1/'] }],
  [/googletagservices\.com\/tag\/js\/gpt\.js|securepubads\.g\.doubleclick\.net\/tag\/js\/gpt/, { cookies: ['__gads'], calls: ['securepubads.g.doubleclick.net/gampad/ads'] }],
  [/pagead2\.googlesyndication\.com/, { cookies: ['__gads'], calls: ['googleads.g.doubleclick.net/pagead/ads'] }],
  [/(s_code|AppMeasurement)\.js/, { cookies: ['s_cc', 's_fid'], then: "window.s = { t: function () { new Image().src = 'https://metrics.omtrdc.net/b/ss/rsid/1/H.27'; return ''; } };" }],
  [/assets\.adobedtm\.com/, { cookies: ['sat_track'], calls: ['dpm.demdex.net/id'], then: 'window._satellite = { pageBottom: function () {}, track: function () {} };' }],
  [/tags\.tiqcdn\.com/, { cookies: ['utag_main'], scripts: ['connect.facebook.net/en_US/fbevents.js?by=tealium'], then: "window.fbq = window.fbq || function () {};" }],
  [/static\.etracker\.com/, { cookies: ['_et_coid'], calls: ['www.etracker.de/cnt.php'] }],
  [/tag\.aticdn\.net/, { cookies: ['pa_vid', '_pcid'], calls: ['logs.xiti.com/event'] }],
  [/js-agent\.newrelic\.com/, { calls: ['bam.nr-data.net/1/x'] }],
  [/platform\.twitter\.com\/widgets/, { calls: ['syndication.twitter.com/settings'] }],
  [/s7\.addthis\.com/, { cookies: ['__atuvc'], calls: ['m.addthis.com/live'] }],
  [/w\.sharethis\.com|platform-api\.sharethis\.com/, { cookies: ['__stid'], calls: ['l.sharethis.com/pview'] }],
  [/disqus\.com\/embed\.js/, { calls: ['shop.disqus.com/embed/comments', 'referrer.disqus.com/juggler/event.gif'] }],
  [/connect\.facebook\.net\/.*(sdk|all)\.js/, { calls: ['www.facebook.com/plugins/like.php'] }],
  [/www\.dwin1\.com/, { cookies: ['_aw_m_1'], calls: ['www.awin1.com/sread.img'] }],
  [/plausible\.io\/js/, { calls: ['plausible.io/api/event'] }],
  [/cdn\.usefathom\.com/, { calls: ['cdn.usefathom.com/?p=1'] }],
  [/cdn\.cxense\.com/, { cookies: ['cX_P'], calls: ['comcluster.cxense.com/Repo/rep.gif'] }],
  [/rec\.smartlook\.com/, { cookies: ['SL_C_1'], calls: ['manager.smartlook.com/rec'] }],
  [/js\.driftt\.com/, { cookies: ['drift_aid'], calls: ['event.api.drift.com/track'] }],
  [/www\.youtube\.com\/iframe_api/, { then: "window.onYouTubeIframeAPIReady && onYouTubeIframeAPIReady();" }],
  [/maps\.googleapis\.com\/maps\/api\/js/, { then: "window.initMap && initMap();", calls: ['maps.googleapis.com/maps/vt'] }],
  [/cdn\.jsdelivr\.net|ajax\.googleapis\.com/, { then: "window.$ = window.jQuery = function (f) { f(); };" }],
  [/sdk\.unknown\.example\/push\.js/, { then: 'self.canPush = true;' }],
  [/(widgets?|ads|tags)\.unknown\.example\/.*\.js/, { cookies: ['unknown_visitor'], calls: ['tags.unknown.example/seen.gif'] }],
];

/** The script at an address, if one of these vendors has it there. */
export function trackerAt(address) {
  const row = ROWS.find(([pattern]) => pattern.test(address));
  return row && script(row[1]);
}

function script({ cookies = [], local = [], calls = [], scripts = [], then = '' }) {
  return [
    ...cookies.map((name) => `document.cookie = '${name}=1.2.3; path=/; max-age=63072000';`),
    ...local.map((name) => `try { localStorage.setItem('${name}', '1.2.3'); } catch (e) {}`),
    ...calls.map((address) => `new Image().src = 'https://${address}';`),
    ...scripts.map((address) => `document.head.appendChild(document.createElement('script')).src = 'https://${address}';`),
    then,
  ].join('\n');
}
