# A server of Patchboard for others: see docs/serving.md. It runs without privileges, and writes
# nothing but downloads, into /cache, and what is passing, into /tmp.
FROM python:3.11-slim

WORKDIR /patchboard
COPY requirements.txt ./
# TORCH_INDEX is an index with torch's builds without CUDA, which are a fifth of the others' size;
# torch's own page of instructions names it.
ARG TORCH_INDEX=
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r requirements.txt
COPY .streamlit .streamlit
COPY app.py LICENSE ./
COPY core core
COPY mingpt mingpt
COPY pages pages
# Nothing is compiled later: then the file system may be read-only.
RUN python -m compileall -q core mingpt pages app.py \
    && useradd --uid 10001 --no-create-home --home-dir /tmp patchboard \
    && mkdir /cache /models && chown patchboard /cache

USER patchboard
ENV HOME=/tmp PATCHBOARD_CACHE=/cache PATCHBOARD_MODELS=/models PATCHBOARD_STATUS=60 PATCHBOARD_REPORTS= \
    MPLCONFIGDIR=/tmp/matplotlib PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
VOLUME /cache
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", \
    "import os, urllib.request as u; p = os.environ.get('STREAMLIT_SERVER_BASE_URL_PATH', '').strip('/'); u.urlopen('http://127.0.0.1:8501' + '/' * bool(p) + p + '/_stcore/health', timeout=4)"]
# What comes after the image's name on `docker run` is added, such as --server.allowedHosts.
ENTRYPOINT ["python", "-m", "streamlit", "run", "app.py", "--server.address", "0.0.0.0", \
    "--server.port", "8501", "--server.headless", "true"]
